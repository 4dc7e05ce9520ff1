//! Signals that ask a training to stop: it finishes the step and saves, and the program ends with the code of that signal.

use std::io::Write;
use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// What a shell adds to the number of a signal that ended a program.
const ENDED_BY: i32 = 128;
const CTRL_C: i32 = 2;

/// The signal that asked, or 0.
static ASKED: AtomicI32 = AtomicI32::new(0);

/// What the training at hand is stopped by; one that goes on by itself after a fault has another each time.
static STOP: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// Asks for a stop at the first Ctrl-C, termination or hang-up, or now if there was one; a second one ends the program at once.
pub(crate) fn stop_by(stop: Arc<AtomicBool>) -> Result<()> {
    let mut current = STOP.lock().unwrap_or_else(PoisonError::into_inner);
    if ASKED.load(Ordering::SeqCst) != 0 {
        stop.store(true, Ordering::Relaxed);
    }
    match current.replace(stop) {
        Some(_) => Ok(()),
        None => listen(ask).context("cannot listen for signals"),
    }
}

fn ask(signal: i32) {
    if ASKED.swap(signal, Ordering::SeqCst) != 0 {
        process::exit(ENDED_BY + signal);
    }
    if let Some(stop) = &*STOP.lock().unwrap_or_else(PoisonError::into_inner) {
        stop.store(true, Ordering::Relaxed);
    }
    let again = match signal {
        CTRL_C => "press Ctrl-C again",
        _ => "send it again",
    };
    // A terminal that hung up takes no words.
    let _ = writeln!(
        std::io::stderr(),
        "\nstopping after this step; {again} to stop at once and lose what was not saved"
    );
}

/// The code of a run that was stopped: the signal's, if one asked.
pub(crate) fn exit_code() -> ExitCode {
    match ASKED.load(Ordering::SeqCst) {
        0 => ExitCode::SUCCESS,
        signal => u8::try_from(ENDED_BY + signal).map_or(ExitCode::FAILURE, ExitCode::from),
    }
}

#[cfg(unix)]
fn listen(ask: impl Fn(i32) + Send + 'static) -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || signals.forever().for_each(ask));
    Ok(())
}

#[cfg(not(unix))]
fn listen(ask: impl Fn(i32) + Send + 'static) -> Result<()> {
    Ok(ctrlc::set_handler(move || ask(CTRL_C))?)
}
