//! What CPU and GPU have in common: what a backend must do, choosing one, what it can do at most, and where its time goes.

pub mod device;
pub(crate) mod memory;
pub mod peak;
pub mod profile;
pub mod runtime;
pub(crate) mod wait;
