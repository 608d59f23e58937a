//! What a runtime and its watchers feel: how long handing over an entry takes, and how soon another process has it.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use session_store::{
    BranchTail, Clock, Following, OpenOptions, SegmentLocation, SegmentState, SessionWriter, WriterOptions, open,
};
use store_core::{Backend, Durability, Extension, LogEntry, NewEntry, TailFrom};

use crate::contest::Span;
use crate::ours::durable;
use crate::{Result, entries};

/// How long single calls took.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// What was called.
    pub name: String,
    /// Each, ascending.
    sorted: Vec<Duration>,
}

impl Latencies {
    /// Of calls that took so long each, in any order.
    pub fn new(name: impl Into<String>, mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        Self { name: name.into(), sorted: took }
    }

    /// The time that this part of the calls, in thousandths, did not exceed.
    pub fn through(&self, thousandths: usize) -> Duration {
        let at = (self.sorted.len() * thousandths / 1000).min(self.sorted.len().saturating_sub(1));
        self.sorted.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} |", self.name, self.sorted.len())?;
        [500, 990, 1000].iter().try_for_each(|part| write!(f, " {} |", Span(self.through(*part).as_nanos() as f64)))
    }
}

/// The first lines of a table of [`Latencies`].
pub const LATENCIES_HEAD: &str = "| call | calls | p50 | p99 | most |\n|---|---|---|---|---|";

const SCHEMES: [&str; 2] = ["fs", "sqlite"];

fn store_in(scheme: &str, folder: &Path) -> Result<(String, Arc<dyn Backend>, SegmentLocation)> {
    let url = format!("{scheme}:{}", folder.join("store").display());
    let store = open(&url, &OpenOptions::at(entries::START_MS))?;
    let (session_id, segment_id) = entries::ids(0);
    store.create_segment(session_id, segment_id, &[entries::start(session_id)], &Default::default())?;
    Ok((url, store, SegmentLocation { session_id, segment_id }))
}

/// Handing `count` entries to a writer that syncs every call, one each `pause` and then all at once, beside appending and syncing
/// each of them.
///
/// # Errors
/// Those of the stores.
pub fn submit(folder: &Path, count: u64, pause: Duration) -> Result<Vec<Latencies>> {
    let mut rows = Vec::new();
    for scheme in SCHEMES {
        let place = tempfile::Builder::new().prefix("bench-").tempdir_in(folder)?;
        let (_, store, at) = store_in(scheme, place.path())?;
        let mut took = Vec::new();
        for n in 1..=count {
            let entry = [NewEntry::from(entries::entry(n))];
            let begun = Instant::now();
            store.append_with(at.session_id, at.segment_id, &entry, &durable(Durability::Synced))?;
            took.push(begun.elapsed());
        }
        rows.push(Latencies::new(format!("**{scheme}**, synced append"), took));
        for (name, pause) in [(format!("one each {pause:?}"), pause), ("all at once".to_owned(), Duration::ZERO)] {
            let options = WriterOptions {
                queue_entries_max: usize::MAX,
                durability: Some(Durability::Synced),
                ..WriterOptions::new("bench", Clock::new(|| entries::START_MS))
            };
            let writer = SessionWriter::start(Arc::clone(&store), SegmentState::open(&*store, at)?, options)?;
            let mut took = Vec::new();
            for n in 1..=count {
                let entry = entries::entry(n);
                let begun = Instant::now();
                let ticket = writer.submit(entry)?;
                took.push(begun.elapsed());
                drop(ticket);
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
            }
            writer.close()?;
            rows.push(Latencies::new(format!("**{scheme}**, `submit`, {name}"), took));
        }
    }
    Ok(rows)
}

fn nanos_now() -> Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?)
}

/// How long after its append began each of `count` entries was given to a tail in another process, `program` with the arguments
/// that [`follow`] takes.
///
/// # Errors
/// Those of the stores, and of the other process.
pub fn tail(folder: &Path, count: u64, program: &Path) -> Result<Vec<Latencies>> {
    let mut rows = Vec::new();
    for scheme in SCHEMES {
        let place = tempfile::Builder::new().prefix("bench-").tempdir_in(folder)?;
        let (url, store, at) = store_in(scheme, place.path())?;
        let mut command = Command::new(program);
        command.args(["follow", &url, &count.to_string()]).stdout(Stdio::piped());
        let mut other = command.spawn()?;
        let mut lines = BufReader::new(other.stdout.take().ok_or("no output")?).lines();
        lines.next().ok_or("the other process does not follow")??;
        for n in 0..count {
            // Pauses that do not keep step with the tail's looks.
            thread::sleep(Duration::from_micros(3_000 + n * 7_919 % 41_000));
            let payload = Value::from(nanos_now()?);
            let entry = LogEntry::Extension(Extension { ts: entries::START_MS, domain: "bench".into(), payload });
            let options = durable(Durability::Buffered);
            store.append_with(at.session_id, at.segment_id, &[entry.into()], &options)?;
        }
        let took = lines.map(|line| Ok(Duration::from_nanos(line?.parse()?))).collect::<Result<Vec<_>>>()?;
        if !other.wait()?.success() {
            return Err("the other process failed".into());
        }
        rows.push(Latencies::new(format!("**{scheme}**, from append to another process"), took));
    }
    Ok(rows)
}

/// Follows the segment of the store at `url`, and says on each line how old one of `count` entries was when it came, in nanoseconds. The
/// first line says that it follows.
///
/// # Errors
/// Those of the store.
pub fn follow(url: &str, count: u64, mut say: impl FnMut(&str)) -> Result<()> {
    let store = open(url, &OpenOptions::at(entries::START_MS))?;
    let (session_id, segment_id) = entries::ids(0);
    let at = SegmentLocation { session_id, segment_id };
    let mut tail = BranchTail::start(store, at, TailFrom::End, Following::Branch)?;
    say("follows");
    let mut left = count;
    let mut ages = Vec::new();
    while left > 0 {
        let Some((_, records)) = tail.next(Duration::from_secs(60))? else { return Err("nothing came".into()) };
        let now = nanos_now()?;
        left = left.saturating_sub(records.len() as u64);
        for record in records {
            let LogEntry::Extension(Extension { payload, .. }) = record.entry else { continue };
            ages.push(now.saturating_sub(payload.as_u64().unwrap_or(now)));
        }
    }
    ages.iter().for_each(|age| say(&age.to_string()));
    Ok(())
}
