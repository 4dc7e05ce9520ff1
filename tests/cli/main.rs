//! The programs as a user meets them: what they write, what they print, and how they refuse.

mod adapters;
mod again;
mod cache;
mod claims;
mod classify;
mod compare;
mod disk;
mod doctor;
mod errors;
#[cfg(target_os = "linux")]
mod faults;
mod files;
mod init;
mod killed;
mod load;
#[cfg(target_os = "linux")]
mod long;
mod made;
mod memory;
#[cfg(target_os = "linux")]
mod mounts;
mod optimizer;
mod options;
mod parts;
mod photos;
mod pictures;
#[cfg(target_os = "linux")]
mod power;
mod profile;
mod programs;
mod proxy;
mod resume;
mod sets;
mod shaders;
mod skip;
mod train;
mod tune;
mod tuning;
mod vanished;
