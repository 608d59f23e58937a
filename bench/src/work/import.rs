//! Importing an agent's files, as a whole command: into a new store, and again when nothing has changed.

use std::cell::Cell;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader};
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use crate::Result;
use crate::claude::{self, Shape};
use crate::command::Pod;
use crate::contest::{Contest, Outcome, Setting};
use crate::ours::KINDS;

/// Imports files of this shape. The first way reads them, sums them up and parses each line with serde_json on one thread.
///
/// # Errors
/// Those of the program.
pub fn contest(setting: &Setting, shape: Shape, pod: &Pod) -> Result<Vec<Outcome>> {
    let place = tempfile::Builder::new().prefix("import-").tempdir_in(&setting.folder)?;
    let bytes = claude::write(place.path(), shape)?;
    let source = place.path().to_string_lossy().into_owned();
    let (megabytes, files) = (bytes / 1_000_000, shape.files);
    let import = ["import", source.as_str()];
    let what = format!("import of {files} files, {megabytes} MB, a MB");
    let mut first = Contest::new(what, megabytes).with("read, sha2 and serde_json into `Value`", |_| {
        let begun = Instant::now();
        for file in std::fs::read_dir(place.path())? {
            let mut sum = Sha256::new();
            for line in BufReader::with_capacity(256 << 10, std::fs::File::open(file?.path())?).split(b'\n') {
                let line = line?;
                sum.update(&line);
                black_box(serde_json::from_slice::<serde_json::Value>(&line)?);
            }
            black_box(sum.finalize());
        }
        Ok(begun.elapsed())
    });
    let mut again = Contest::new(format!("import of {files} files again, nothing changed"), 1);
    let memory = KINDS.map(|_| Cell::new(0_u64));
    for (kind, memory) in KINDS.into_iter().zip(&memory) {
        first = first.with(kind.name(), move |own| {
            let took = pod.run_watched(kind, own, &import)?;
            memory.set(memory.get().max(took.memory_kib));
            Ok(took.time)
        });
        again = again.with(kind.name(), move |own| {
            pod.run(kind, own, &import)?;
            pod.run(kind, own, &import)
        });
    }
    let mut first = first.run(setting)?;
    first.notes = KINDS
        .iter()
        .zip(&memory)
        .map(|(kind, kib)| format!("{}: {} MiB of memory at the most", kind.name(), kib.get() >> 10))
        .collect();
    Ok(vec![first, again.run(setting)?])
}
