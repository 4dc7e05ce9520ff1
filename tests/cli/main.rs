//! The programs as a user meets them: what they write, what they print, and how they refuse.

mod adapters;
mod classify;
mod disk;
mod doctor;
mod errors;
mod options;
mod photos;
mod pictures;
mod profile;
mod programs;
mod resume;
mod shaders;
mod train;
mod tune;
