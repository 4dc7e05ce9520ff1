//! Children that judge mutants: each is told numbers of mutants, one at a time, and is killed if a case runs for ever.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::Arguments;
use crate::report::Report;
use crate::rules::Mutant;

/// A case that takes a child longer than this, its kernels' compilation included, runs for ever. It is the processor's time
/// where the system tells it, so a busy machine, or a child that is held, kills no mutant.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often a child's time is looked at.
const GLANCE: Duration = Duration::from_millis(500);

/// A child, and what it says.
struct Judge {
    process: Child,
    lines: Receiver<String>,
    is_ready: bool,
}

/// Judges mutants of the queue until there are none.
pub(crate) fn work(
    arguments: &Arguments,
    mutants: &[Mutant],
    queue: &Mutex<VecDeque<usize>>,
    report: &Mutex<Report>,
) -> Result<()> {
    let mut judge: Option<Judge> = None;
    loop {
        let next = queue.lock().expect("no panic").pop_front();
        let Some(next) = next else { break };
        let start = Instant::now();
        let mut asked = match judge.take() {
            Some(judge) => judge,
            None => Judge::start(arguments)?,
        };
        let fate = match asked.fate(next)? {
            Ok(fate) => {
                judge = Some(asked);
                fate
            }
            Err(why) => {
                asked.end()?;
                why.to_owned()
            }
        };
        let mut report = report.lock().expect("no panic");
        report.add(&mutants[next], &fate, start.elapsed())?;
    }
    judge.map_or(Ok(()), Judge::end)
}

impl Judge {
    fn start(arguments: &Arguments) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--child", "--every", &arguments.every.to_string()])
            .args(["--only", &arguments.only])
            .envs([("LP_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "1")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("no child can be started")?;
        let output = BufReader::new(process.stdout.take().context("a child without output")?);
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Ok(Self {
            process,
            lines,
            is_ready: false,
        })
    }

    /// What becomes of a mutant, or why the child has to end, which is what becomes of it too.
    fn fate(&mut self, mutant: usize) -> Result<Result<String, &'static str>> {
        let input = self.process.stdin.as_mut().context("a child's input")?;
        // One that has ended says so below.
        let _ = writeln!(input, "{mutant}").and_then(|()| input.flush());
        let mut since = self.spent();
        let why = loop {
            match self.lines.recv_timeout(GLANCE) {
                Ok(line) => {
                    self.is_ready = true;
                    since = self.spent();
                    if let Some(wrong) = line.strip_prefix("unsound ") {
                        bail!("a case fails without any mistake: {wrong}");
                    }
                    if let Some(fate) = line.strip_prefix("fate ") {
                        return Ok(Ok(fate.to_owned()));
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.spent() - since < PATIENCE => {}
                Err(RecvTimeoutError::Timeout) => break "killed: it runs for ever",
                Err(RecvTimeoutError::Disconnected) => break "killed: the process ended",
            }
        };
        if !self.is_ready {
            bail!(
                "a child ended before it was ready: is there an adapter, a software one will do?"
            );
        }
        Ok(Err(why))
    }

    /// The processor's time that the child has taken, or else the clock's.
    fn spent(&self) -> Duration {
        let ticks = || {
            let path = format!("/proc/{}/stat", self.process.id());
            let stat = std::fs::read_to_string(path).ok()?;
            // Behind the name, which may hold anything but a further parenthesis: 11 fields, the user's and the system's time.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
            let mut ticks = || fields.next()?.parse::<u64>().ok();
            Some(ticks()? + ticks()?)
        };
        // Linux counts hundredths of a second here, on every architecture that it runs this on.
        match ticks() {
            Some(ticks) => Duration::from_millis(10 * ticks),
            None => std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap_or_default(),
        }
    }

    fn end(mut self) -> Result<()> {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait()?;
        Ok(())
    }
}
