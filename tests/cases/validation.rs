//! Messages of Vulkan's validation layer, which wgpu passes to the `log` crate and which fail nothing by themselves.
//!
//! With `WGPU_VALIDATION=1` wgpu loads the layer, and with `WGPU_DEBUG=1` it hears what the layer says
//! (`scripts/drivers validation` fetches one and prints both); any warning or error then ends the test binary.

use std::io::Write;
use std::sync::Once;

use log::{Level, LevelFilter, Log, Metadata, Record};

/// Parts of messages that are known to be harmless, each with its reason. wgpu drops VUID-StandaloneSpirv-None-10684
/// itself (gfx-rs/wgpu 7696).
const HARMLESS: [&str; 0] = [];

struct Judge;

/// Whether a message means that something is wrong.
fn fault(level: Level, target: &str, message: &str) -> bool {
    // Which wgpu only mentions.
    let no_layer = message.contains("unable to find layer");
    target.starts_with("wgpu_hal::vulkan")
        && (level <= Level::Warn || no_layer)
        && !HARMLESS.iter().any(|known| message.contains(known))
}

impl Log for Judge {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let message = record.args().to_string();
        if fault(record.level(), record.target(), &message) {
            // Past the capture of the test harness. Not a panic: this runs inside the driver, on any thread it likes.
            let _ = writeln!(
                std::io::stderr(),
                "validation layer: {}: {message}",
                record.level()
            );
            std::process::exit(101);
        }
    }

    fn flush(&self) {}
}

/// Listens to the layer, if the run asks for it. Must come before an instance is made: wgpu asks only for the messages
/// that some logger would take.
pub fn listen() {
    static ONCE: Once = Once::new();
    let on = |name| std::env::var_os(name).is_some_and(|value| value != "0");
    if on("WGPU_VALIDATION") {
        assert!(
            on("WGPU_DEBUG"),
            "set WGPU_DEBUG=1 beside WGPU_VALIDATION=1, or no message arrives"
        );
        ONCE.call_once(|| {
            log::set_logger(&Judge).expect("no other logger in tests");
            log::set_max_level(LevelFilter::Debug);
            eprintln!("listening to the validation layer");
        });
    }
}
