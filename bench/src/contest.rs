//! Ways to do the same work, in turn, and what came out as a table.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;

/// Does the work once in an empty folder and says how long the part took that counts.
pub type Run<'a> = Box<dyn FnMut(&Path) -> Result<Duration> + 'a>;

/// Where and how often it is measured.
#[derive(Clone, Debug)]
pub struct Setting {
    /// An existing folder on the medium that is measured. What is made in it is removed again.
    pub folder: PathBuf,
    /// How many rounds are counted.
    pub rounds: usize,
    /// The ways whose names hold one of these words, and the first one, to which the ratios are. Empty: all.
    pub only: Vec<String>,
}

/// One way to do the work.
pub struct Variant<'a> {
    /// What it is called in the table.
    pub name: String,
    /// Does it once.
    pub run: Run<'a>,
}

/// One kind of work and the ways to do it.
pub struct Contest<'a> {
    /// What is done.
    pub work: String,
    /// How many operations one run is.
    pub operations: u64,
    /// The ways. Ratios are to the first one.
    pub variants: Vec<Variant<'a>>,
}

/// What one way took.
#[derive(Clone, Debug)]
pub struct Row {
    /// The way.
    pub name: String,
    /// Per operation, in nanoseconds: the smallest, the median, the largest of the rounds.
    pub nanos: [f64; 3],
    /// How many times as fast as the first way: the median of the rounds' ratios.
    pub ratio: f64,
}

/// What a contest came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done.
    pub work: String,
    /// How often each way did it.
    pub rounds: usize,
    /// A row for each way, in the order they were given.
    pub rows: Vec<Row>,
    /// What else is to be said, a line each.
    pub notes: Vec<String>,
}

impl<'a> Contest<'a> {
    /// Work of so many operations, nobody doing it yet.
    pub fn new(work: impl Into<String>, operations: u64) -> Self {
        Self { work: work.into(), operations, variants: Vec::new() }
    }

    /// Adds a way.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, run: impl FnMut(&Path) -> Result<Duration> + 'a) -> Self {
        self.variants.push(Variant { name: name.into(), run: Box::new(run) });
        self
    }

    /// Lets every way do the work once a round, each time in a new folder.
    ///
    /// # Errors
    /// What a way failed with.
    pub fn run(mut self, setting: &Setting) -> Result<Outcome> {
        let Setting { folder, rounds, only } = setting;
        let mut is_first = true;
        let is_named = |variant: &Variant<'a>| only.is_empty() || only.iter().any(|word| variant.name.contains(word));
        self.variants.retain(|variant| std::mem::take(&mut is_first) || is_named(variant));
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); self.variants.len()];
        // The first round warms up what there is to warm and is not counted.
        for round in 0..=*rounds {
            for (variant, times) in self.variants.iter_mut().zip(&mut times) {
                let place = tempfile::Builder::new().prefix("bench-").tempdir_in(folder)?;
                let took = (variant.run)(place.path()).map_err(|error| format!("{}: {error}", variant.name))?;
                if round > 0 {
                    times.push(took.as_secs_f64() * 1e9 / self.operations.max(1) as f64);
                }
            }
        }
        let rows = self.variants.iter().zip(&times).map(|(variant, own)| Row {
            name: variant.name.clone(),
            nanos: [extreme(own, f64::min), median(own.clone()), extreme(own, f64::max)],
            ratio: median(times[0].iter().zip(own).map(|(first, own)| first / own).collect()),
        });
        Ok(Outcome { work: self.work, rounds: *rounds, rows: rows.collect(), notes: Vec::new() })
    }
}

fn extreme(values: &[f64], pick: fn(f64, f64) -> f64) -> f64 {
    values.iter().copied().reduce(pick).unwrap_or(f64::NAN)
}

/// The value in the middle, or between the two that are.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {} ({} rounds)\n", self.work, self.rounds)?;
        writeln!(f, "| way | median | least | most | speed |\n|---|---|---|---|---|")?;
        for row in &self.rows {
            let [least, median, most] = row.nanos.map(Span);
            writeln!(f, "| {} | {median} | {least} | {most} | {:.2} |", row.name, row.ratio)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "\n{note}"))
    }
}

/// Nanoseconds in the unit that fits.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub f64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            nanos if nanos < 1e3 => write!(f, "{nanos:.0} ns"),
            nanos if nanos < 1e6 => write!(f, "{:.2} µs", nanos / 1e3),
            nanos if nanos < 1e9 => write!(f, "{:.2} ms", nanos / 1e6),
            nanos => write!(f, "{:.2} s", nanos / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_and_the_first_round_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let mut slow = [1000, 10, 20, 30].into_iter();
        let mut fast = [1, 5, 5, 5].into_iter();
        let outcome = Contest::new("work", 1)
            .with("slow", |_| Ok(Duration::from_nanos(slow.next().unwrap())))
            .with("fast", |_| Ok(Duration::from_nanos(fast.next().unwrap())))
            .run(&Setting { folder: folder.path().to_owned(), rounds: 3, only: Vec::new() })
            .unwrap();
        assert_eq!(outcome.rows[0].nanos.map(f64::round), [10.0, 20.0, 30.0]);
        assert_eq!((outcome.rows[1].ratio * 10.0).round(), 40.0);
        assert_eq!(outcome.to_string().lines().last(), Some("| fast | 5 ns | 5 ns | 5 ns | 4.00 |"));
    }
}
