//! The programs as a user meets them: what they write, what they print, and how they refuse.

mod adapters;
mod cache;
mod claims;
mod classify;
mod compare;
mod disk;
mod doctor;
mod errors;
mod files;
mod init;
mod made;
mod optimizer;
mod options;
mod parts;
mod photos;
mod pictures;
mod profile;
mod programs;
mod resume;
mod sets;
mod shaders;
mod train;
mod tune;
mod tuning;
mod vanished;
