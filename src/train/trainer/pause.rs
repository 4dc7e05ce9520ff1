//! Where a training stands still for a moment.

use std::time::Duration;

/// Why a training has nothing to do, or lets others have their turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A step comes next.
    Step,
    /// A batch of a test was queued.
    Tested,
    /// Results are late; the device has work queued meanwhile.
    Late,
    /// As many batches are under way as may be.
    Ahead,
}

impl Pause {
    /// How long it is before looking again is worth while.
    pub fn duration(self) -> Duration {
        match self {
            Self::Step | Self::Tested => Duration::ZERO,
            Self::Late => Duration::from_millis(2),
            Self::Ahead => Duration::from_micros(200),
        }
    }

    /// Stops this thread for as long: what a program does.
    pub(in crate::train) async fn sleep(self) {
        if !self.duration().is_zero() {
            std::thread::sleep(self.duration());
        }
    }
}
