//! The library makes an error of a GPU that is lost while it is waited for, where wgpu panics; nobody should read of both.

use std::panic;

/// What wgpu's panic begins with.
const LOST: &str = "Error in Device::poll";

/// Leaves that panic untold.
pub(crate) fn hush() {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let text = info.payload().downcast_ref::<String>();
        if !text.is_some_and(|text| text.starts_with(LOST)) {
            tell(info);
        }
    }));
}
