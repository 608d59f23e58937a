//! Our ledgers beside published ones: committing, reopening, balances as of a time, memory.
//!
//! Each of ours has one that it is measured beside and that keeps the same promise when a commit returns: everything is on stable storage. The
//! ratios are to that one. Processor time is told too, because it is what a shared machine changes least.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Result;
use crate::contest::{Contest, Outcome, Setting, Span, median};
use crate::ledgers::task::{Answer, Task};

/// One of ours, and the one that it is measured beside.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// What each is called in a table, and by its program.
    other: (&'static str, &'static str),
    ours: (&'static str, &'static str),
    /// Which part of the calls and transactions is made: a ledger that takes its time is measured with fewer.
    part: u64,
}

const PAIRS: [Pair; 2] = [
    Pair { other: ("talea-store-log 0.1.0", "log"), ours: ("**fs**", "fs"), part: 1 },
    Pair { other: ("talea-store-sqlite 0.1.0 (FULL)", "sqlite"), ours: ("**sqlite**", "sqlite"), part: 4 },
];

/// The programs that do the tasks.
#[derive(Clone, Debug)]
pub struct Programs {
    other: PathBuf,
    ours: PathBuf,
}

impl Programs {
    /// This program, and the one at a path for the others; without it, the one beside this program.
    ///
    /// # Errors
    /// There is none.
    pub fn find(other: Option<&Path>) -> Result<Self> {
        let ours = std::env::current_exe()?;
        let other = other.map_or_else(|| ours.with_file_name("talea-ledgers"), Path::to_owned);
        if !other.is_file() {
            let build = "cargo build --release --locked --manifest-path bench/talea/Cargo.toml --target-dir target";
            return Err(
                format!("there is no {}: build it with `{build}`, or name it with --talea", other.display()).into()
            );
        }
        Ok(Self { other, ours })
    }

    fn other(&self, kind: &str, task: Task, folder: &Path) -> Result<Answer> {
        ask(Command::new(&self.other).arg(format!("{kind} {task}")).arg(folder))
    }

    fn ours(&self, kind: &str, task: Task, folder: &Path) -> Result<Answer> {
        ask(Command::new(&self.ours).args(["--task", &format!("{kind} {task}"), "--folder"]).arg(folder))
    }
}

fn ask(command: &mut Command) -> Result<Answer> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(String::from_utf8(output.stdout)?.parse::<Answer>()?)
}

/// What the processes of a contest answered, way by way.
type Answers = [RefCell<Vec<Answer>>; 2];

/// The pairs of which one is to be measured.
fn pairs(setting: &Setting) -> impl Iterator<Item = Pair> {
    let only = setting.only.clone();
    PAIRS.into_iter().filter(move |pair| only.is_empty() || only.iter().any(|word| pair.ours.0.contains(word.as_str())))
}

/// Lets both of a pair do a task, in `folders` or in new ones; with what came out, the answers of the last round.
fn contest(
    setting: &Setting,
    (programs, pair): (&Programs, Pair),
    (work, operations): (String, u64),
    (task, folders): (Task, Option<[&Path; 2]>),
) -> Result<(Outcome, [Answer; 2])> {
    let answers = Answers::default();
    let keep = |way: usize, answer: Answer| {
        answers[way].borrow_mut().push(answer);
        Duration::from_nanos(answer.nanos)
    };
    let in_folder =
        |way: usize, place: &Path| folders.map_or_else(|| place.to_owned(), |folders| folders[way].to_owned());
    let outcome = Contest::new(work, operations)
        .with(pair.other.0, |place| Ok(keep(0, programs.other(pair.other.1, task, &in_folder(0, place))?)))
        .with(pair.ours.0, |place| Ok(keep(1, programs.ours(pair.ours.1, task, &in_folder(1, place))?)))
        .run(setting)?;
    let answers = answers.map(RefCell::into_inner);
    let [other, ours] = answers.each_ref().map(|answers| {
        // As in the table, the first round does not count.
        let nanos = |answer: &Answer| answer.processor_nanos as f64 / operations.max(1) as f64;
        median(answers.iter().skip(1).map(nanos).collect())
    });
    let note = format!("Processor time: {} and {}, {:.2} of it.", Span(other), Span(ours), ours / other);
    let last = |way: usize| answers[way].last().copied().ok_or("nothing was measured");
    Ok((Outcome { notes: vec![note], ..outcome }, [last(0)?, last(1)?]))
}

/// Transactions of two postings: `committers` each make `calls` calls of `per_call` transactions, or a part of that many.
///
/// # Errors
/// Those of the ledgers, and of starting processes.
pub fn commit(
    setting: &Setting,
    programs: &Programs,
    (committers, calls, per_call): (u64, u64, u64),
) -> Result<Vec<Outcome>> {
    let one = |pair: Pair| {
        let calls = (calls / pair.part).max(1);
        let transactions = committers * calls * per_call;
        let work = format!("{transactions} transactions, {committers} committers, {per_call} a call");
        let task = Task::Commit { committers, calls, per_call };
        Ok(contest(setting, (programs, pair), (work, transactions), (task, None))?.0)
    };
    pairs(setting).map(one).collect()
}

/// Of ledgers of so many transactions: opening them, with and without a snapshot, and `questions` for balances as of a time; and how much memory each took while they were
/// written and when they were opened.
///
/// # Errors
/// Those of the ledgers, and of starting processes.
pub fn filled(setting: &Setting, programs: &Programs, (transactions, questions): (u64, u64)) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for pair in pairs(setting) {
        let transactions = (transactions / pair.part).max(1);
        // A database has no snapshots.
        let snapshots: &[bool] = if pair.ours.1 == "fs" { &[false, true] } else { &[false] };
        for snapshot in snapshots {
            let places = [(); 2].map(|()| tempfile::Builder::new().prefix("bench-").tempdir_in(&setting.folder));
            let [other, ours] = places;
            let (other, ours) = (other?, ours?);
            let fill = Task::Fill { transactions, snapshot: *snapshot };
            let filled =
                [programs.other(pair.other.1, fill, other.path())?, programs.ours(pair.ours.1, fill, ours.path())?];
            let folders = Some([other.path(), ours.path()]);
            let how = if *snapshot { " with a snapshot" } else { "" };
            let open = Task::Open { transactions };
            let work = format!("opening {transactions} transactions{how}");
            let (mut outcome, opened) = contest(setting, (programs, pair), (work, 1), (open, folders))?;
            outcome.notes.push(memory("written", filled, transactions));
            outcome.notes.push(memory("opened", opened, transactions));
            outcomes.push(outcome);
            if !snapshot {
                let work = format!("balances as of a time, of {transactions} transactions");
                let task = Task::Balance { transactions, questions };
                outcomes.push(contest(setting, (programs, pair), (work, questions), (task, folders))?.0);
            }
        }
    }
    Ok(outcomes)
}

fn memory(when: &str, [other, ours]: [Answer; 2], transactions: u64) -> String {
    let each = |answer: Answer| answer.memory_kib as f64 * 1024.0 / transactions.max(1) as f64;
    let (other, ours) = (each(other), each(ours));
    format!("Memory when it was {when}: {other:.0} and {ours:.0} bytes a transaction, {:.2} of it.", ours / other)
}
