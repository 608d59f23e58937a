//! The picker's first frame: from the start of the program until a terminal has been given the first conversation.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::list;
use super::live::Latencies;
use crate::Result;
use crate::command::Pod;
use crate::ours::KINDS;

/// What every row of the store says.
const TITLE: &[u8] = "Das".as_bytes();
/// How large the terminal is.
const SIZE: Winsize = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };

/// Opens the picker `times` over so many conversations of 50 entries each.
///
/// # Errors
/// Those of the stores and of the program; a picker that shows no conversation.
pub fn first(folder: &Path, sessions: u64, times: usize, pod: &Pod) -> Result<Vec<Latencies>> {
    let mut rows = Vec::new();
    for kind in KINDS {
        let place = tempfile::Builder::new().prefix("frame-").tempdir_in(folder)?;
        drop(list::prepare(kind, place.path(), sessions)?);
        // The index is made once, and not by whoever opens the picker.
        pod.run(kind, place.path(), &["list", "--limit", "1"])?;
        let took = (0..times).map(|_| once(pod.command(kind, place.path(), &["pick"])));
        rows.push(Latencies::new(format!("{}, {sessions} conversations", kind.name()), took.collect::<Result<_>>()?));
    }
    Ok(rows)
}

/// A program on a terminal of its own; it ends with this value.
struct Seen(Child);

impl Drop for Seen {
    fn drop(&mut self) {
        // One that has ended by itself is no failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn once(mut command: Command) -> Result<Duration> {
    let (person, program) = terminal()?;
    let stream = || program.try_clone().map(Stdio::from);
    command.stdin(stream()?).stderr(stream()?).stdout(Stdio::null());
    let begun = Instant::now();
    let mut child = Seen(command.spawn()?);
    drop(command);
    drop(program);
    let mut person = File::from(person);
    let (mut seen, mut bytes) = (Vec::new(), [0; 1 << 16]);
    let took = loop {
        let count = person.read(&mut bytes).map_err(|error| format!("the picker ended: {error}"))?;
        seen.extend_from_slice(&bytes[..count]);
        if seen.windows(TITLE.len()).any(|piece| piece == TITLE) {
            break begun.elapsed();
        }
    };
    person.write_all(b"\x1b")?;
    // It is read on, or the program would wait for room.
    while person.read(&mut bytes).is_ok_and(|count| count > 0) {}
    child.0.wait()?;
    Ok(took)
}

fn terminal() -> Result<(OwnedFd, File)> {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&person)?;
    unlockpt(&person)?;
    let name = ptsname(&person, Vec::new())?;
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let program = File::options().read(true).write(true).open(path)?;
    tcsetwinsize(&program, SIZE)?;
    Ok((person, program))
}
