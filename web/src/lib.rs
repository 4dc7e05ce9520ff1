//! The browser's side of `nin-wgpu`: a [`Session`] in a Web Worker takes commands of a page and answers with events.
//!
//! Everything that computes is the library's; this crate translates. [`protocol`] has the commands and events.

#![cfg_attr(
    not(target_family = "wasm"),
    allow(dead_code, reason = "it is for browsers")
)]

mod classify;
mod device;
mod error;
mod examine;
mod folder;
mod host;
mod protocol;
mod session;
mod training;

pub use session::Session;
