//! New files that are read, summed up and compressed by a thread of its own, while the ones before them are taken apart and written.
//!
//! Only a file of which nothing is known yet is read ahead, from its beginning to its end; what comes of it is the same as if it were read when its turn comes.
//! What is handed over is text and not what it says: to take it apart here costs the other thread more, which would find every small piece of it in another
//! core's memory. A file that is longer than some pieces waits for the one before it, so that the memory does not depend on how long files are.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::raw::{Packed, Packer};
use super::source::Source;
use super::writer::Cursor;

/// How many files are read ahead.
pub(super) const FILES: usize = 4;
/// How much text is handed over together, about.
const PIECE_BYTES: usize = 256 << 10;
/// How many pieces of a file wait to be asked for.
const PIECES: usize = 4;

/// What is read of a file, in order.
enum Part {
    /// So many bytes of whole lines are to come.
    Open(u64),
    /// Text, and what was packed meanwhile.
    Text(Vec<u8>, Vec<Packed>),
    /// All whole lines were read.
    Whole(Sum),
    /// The file is at its end.
    End(Box<End>),
}

/// So many bytes have this sum.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The end of a file.
pub(super) struct End {
    pub(super) cursor: Cursor,
    /// Why its text ends before the file does.
    damage: Option<String>,
    /// All that was packed and not taken before, if the file is kept.
    pub(super) packed: Option<io::Result<Vec<Packed>>>,
}

/// The text of a file that is read ahead.
pub(super) struct AheadText {
    parts: Receiver<io::Result<Part>>,
    piece: Vec<u8>,
    /// How much of the piece was read.
    used: usize,
    packed: Vec<Packed>,
    whole_bytes: u64,
    whole: Option<Sum>,
    end: Option<Box<End>>,
}

impl AheadText {
    fn new(parts: Receiver<io::Result<Part>>) -> Self {
        let (piece, packed) = (Vec::new(), Vec::new());
        Self { parts, piece, used: 0, packed, whole_bytes: 0, whole: None, end: None }
    }

    /// Opens the file: how many bytes of whole lines it has.
    pub(super) fn open(&mut self) -> io::Result<u64> {
        self.next()?;
        Ok(self.whole_bytes)
    }

    /// The sum of the whole lines, when they were read.
    pub(super) fn whole(&mut self) -> io::Result<Sum> {
        while self.whole.is_none() && self.end.is_none() {
            self.next()?;
        }
        Ok(self.whole.clone().unwrap_or_default())
    }

    /// What was packed since the last time.
    pub(super) fn take_packed(&mut self) -> Vec<Packed> {
        std::mem::take(&mut self.packed)
    }

    /// Why the text ends before the file does, when all of it was read.
    pub(super) fn damage(&mut self) -> io::Result<Option<String>> {
        while self.end.is_none() {
            self.next()?;
        }
        Ok(self.end.as_ref().and_then(|end| end.damage.clone()))
    }

    /// The end of the file, when all of it was read.
    pub(super) fn end(mut self) -> io::Result<End> {
        loop {
            match self.end.take() {
                Some(end) => return Ok(*end),
                None => self.next()?,
            }
        }
    }

    /// Takes the next part. Nothing comes behind the end, or behind an error.
    fn next(&mut self) -> io::Result<()> {
        let gone = |_| Err(io::Error::other("the file was not read to its end"));
        match self.parts.recv().unwrap_or_else(gone)? {
            Part::Open(bytes) => self.whole_bytes = bytes,
            Part::Text(text, packed) => {
                (self.piece, self.used) = (text, 0);
                self.packed.extend(packed);
            }
            Part::Whole(sum) => self.whole = Some(sum),
            Part::End(end) => self.end = Some(end),
        }
        Ok(())
    }
}

impl Read for AheadText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for AheadText {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.used == self.piece.len() && self.end.is_none() {
            self.next()?;
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used = (self.used + count).min(self.piece.len());
    }
}

struct Wanted {
    path: PathBuf,
    keeps: bool,
    give: SyncSender<io::Result<Part>>,
}

/// The thread that reads, and the files that it was asked for.
pub(super) struct Ahead {
    ask: Sender<Wanted>,
    asked: RefCell<VecDeque<(PathBuf, AheadText)>>,
}

impl Ahead {
    /// Does `work` with a thread that reads ahead.
    pub(super) fn beside<T>(work: impl FnOnce(&Self) -> T) -> T {
        thread::scope(|scope| {
            let (ask, wanted) = channel::<Wanted>();
            scope.spawn(move || wanted.iter().for_each(|wanted| wanted.read()));
            work(&Self { ask, asked: RefCell::default() })
        })
    }

    /// Asks for a file behind those that were asked for; `keeps`: with its bytes.
    pub(super) fn ask(&self, path: &Path, keeps: bool) {
        let (give, parts) = sync_channel(PIECES);
        if self.ask.send(Wanted { path: path.to_owned(), keeps, give }).is_ok() {
            self.asked.borrow_mut().push_back((path.to_owned(), AheadText::new(parts)));
        }
    }

    /// A file that was asked for. Those before it are wanted by nobody any more.
    pub(super) fn take(&self, path: &Path) -> Option<AheadText> {
        let mut asked = self.asked.borrow_mut();
        let at = asked.iter().position(|(of, _)| of == path)?;
        asked.drain(..=at).next_back().map(|(_, text)| text)
    }
}

impl Wanted {
    /// Reads the file as long as somebody wants it.
    fn read(&self) {
        if let Err(error) = self.parts() {
            let _ = self.give.send(Err(error));
        }
    }

    fn parts(&self) -> io::Result<()> {
        let mut source = Source::open(&self.path)?;
        if self.keeps {
            source.keep(Packer::new(0));
        }
        let whole = source.whole_lines_left();
        if !(self.give(Part::Open(whole)) && self.text(&mut source, whole)?) {
            return Ok(());
        }
        let sum = Sum { bytes: source.bytes(), sha256: source.sha256() };
        if !(self.give(Part::Whole(sum)) && self.text(&mut source, u64::MAX)?) {
            return Ok(());
        }
        let (damage, packed) = (source.damage().map(str::to_owned), source.finish_packed());
        let cursor = source.cursor(&self.path);
        self.give(Part::End(Box::new(End { cursor, damage, packed })));
        Ok(())
    }

    /// Hands over so many bytes of text, if there are as many. False if nobody wants them.
    fn text(&self, source: &mut Source, bytes: u64) -> io::Result<bool> {
        let mut input = (&mut source.input).take(bytes);
        loop {
            let text = match input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                text => text?,
            };
            if text.is_empty() {
                return Ok(true);
            }
            let text = text[..text.len().min(PIECE_BYTES)].to_vec();
            input.consume(text.len());
            let packed = input.get_mut().take_packed();
            if !self.give(Part::Text(text, packed)) {
                return Ok(false);
            }
        }
    }

    /// Hands over a part. False if nobody wants it.
    fn give(&self, part: Part) -> bool {
        self.give.send(Ok(part)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What a file's text is, with what is said of it: the text, how much of it are whole lines and their sum, the last cursor's bytes and sum, the
    /// bytes that were kept.
    type Told = (Vec<u8>, u64, String, String, Option<Vec<u8>>);

    fn unpacked(packed: &[Packed]) -> Vec<u8> {
        packed.iter().flat_map(|piece| zstd::decode_all(piece.zstd()).unwrap()).collect()
    }

    fn read_here(path: &Path, keeps: bool) -> Told {
        let mut source = Source::open(path).unwrap();
        if keeps {
            source.keep(Packer::new(0));
        }
        let mut text = Vec::new();
        let whole_bytes = source.whole_lines_left();
        (&mut source.input).take(whole_bytes).read_to_end(&mut text).unwrap();
        let (bytes, whole) = (source.bytes(), source.sha256());
        source.input.read_to_end(&mut text).unwrap();
        let mut packed = source.input.take_packed();
        let last = source.finish_packed().map(Result::unwrap);
        let kept = last.map(|last| {
            packed.extend(last);
            unpacked(&packed)
        });
        (text, bytes, whole, source.cursor(path).sha256().to_owned(), kept)
    }

    fn read_ahead(mut ahead: AheadText) -> Told {
        let whole_bytes = ahead.open().unwrap();
        let mut text = Vec::new();
        (&mut ahead).take(whole_bytes).read_to_end(&mut text).unwrap();
        let whole = ahead.whole().unwrap();
        ahead.read_to_end(&mut text).unwrap();
        assert_eq!(ahead.damage().unwrap(), None);
        let mut packed = ahead.take_packed();
        let End { cursor, packed: last, .. } = ahead.end().unwrap();
        let kept = last.map(|last| {
            packed.extend(last.unwrap());
            unpacked(&packed)
        });
        (text, whole.bytes, whole.sha256, cursor.sha256().to_owned(), kept)
    }

    #[test]
    fn what_is_read_ahead_is_what_would_be_read_here() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1000)).repeat(6000);
        let texts = ["", "\n", "{}\n", "{}", "{}\n{\"a\"", &long, &long[..long.len() - 700]];
        let paths: Vec<PathBuf> = (0..texts.len()).map(|n| folder.path().join(format!("{n}.jsonl"))).collect();
        for (path, text) in paths.iter().zip(texts) {
            fs::write(path, text).unwrap();
        }
        for keeps in [true, false] {
            Ahead::beside(|ahead| {
                paths.iter().for_each(|path| ahead.ask(path, keeps));
                for (path, text) in paths.iter().zip(texts) {
                    let told = read_ahead(ahead.take(path).unwrap());
                    assert_eq!(told, read_here(path, keeps), "{path:?}");
                    assert_eq!(told.0, text.as_bytes());
                    assert_eq!(told.4, keeps.then(|| text.as_bytes().to_vec()));
                }
            });
        }
    }

    #[test]
    fn a_file_that_nobody_wants_or_that_is_not_there_keeps_no_other_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("long"), "x".repeat(20 * PIECE_BYTES)).unwrap();
        fs::write(path("short"), "{}\n").unwrap();
        Ahead::beside(|ahead| {
            for name in ["long", "gone", "short", "long"] {
                ahead.ask(&path(name), true);
            }
            assert!(ahead.take(&path("other")).is_none());
            drop(ahead.take(&path("long")));
            assert_eq!(ahead.take(&path("gone")).unwrap().open().unwrap_err().kind(), io::ErrorKind::NotFound);
            assert_eq!(read_ahead(ahead.take(&path("short")).unwrap()).0, b"{}\n");
            // The last one is wanted by nobody when the work is done.
        });
    }
}
