//! Revocations on disk, so that a restart does not bring back what was revoked.
//!
//! One file of `redb`: a commit is atomic and synced before it is answered, pages have checksums, and an interrupted commit is
//! undone when the file is opened again. Its one sync for each commit, which makes it slow for streams of data, suits entries
//! that are few and must not be lost. A thread of its own does the work, so that no caller waits inside the engine.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::oneshot;

use crate::{Revocation, Subject};

/// Why what is on disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory or its file cannot be made, read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The directory or the file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not what was written to it.
    #[error(
        "{} is damaged ({reason}); put a copy of it in its place, or move it away to start without the revocations that it held",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process, or another server of this one, has the file open.
    #[error("{} is in use; stop the other server, or give each its own directory", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version wrote the file.
    #[error(
        "{} was written by another version (format {found}); use that version, or move the file away to start without the \
         revocations that it holds",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// More revocations hold than are allowed.
    #[error("{} holds more revocations than are allowed, which are {limit}; allow more", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// How many are allowed.
        limit: usize,
    },
}

/// Name of the file.
const FILE: &str = "revocations.redb";
/// Changes that may wait to be written.
const MOST_WAITING: usize = 4_096;
/// Changes that are written with one sync.
const AT_ONCE: usize = 1_024;
/// What this version writes.
const FORMAT: u64 = 1;

/// Kind, and one or two names.
type Name<'a> = (u8, &'a str, &'a str);

/// A subject's name; the time that [`Subject::Issued`] names, else 0; when it ends.
const ENTRIES: TableDefinition<'_, Name<'static>, (i64, i64)> = TableDefinition::new("revocations");
const ABOUT: TableDefinition<'_, &'static str, u64> = TableDefinition::new("about");

/// What became of a change: an error says why it is not on disk.
pub(super) type Written = oneshot::Receiver<Result<(), String>>;

/// The open file.
#[derive(Debug)]
pub(super) struct Store {
    /// Gone when the thread is to end.
    changes: Option<SyncSender<Change>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Change {
    entry: Entry,
    done: oneshot::Sender<Result<(), String>>,
}

#[derive(Debug)]
enum Entry {
    Put(Revocation),
    Remove(Vec<Subject>),
}

impl Store {
    /// Opens the file of a directory, which is made if it is not there, and reads it.
    pub(super) fn open(directory: &Path) -> Result<(Self, Vec<Revocation>), StoreError> {
        let path = directory.join(FILE);
        let io = |source| StoreError::Io { path: directory.to_owned(), source };
        make_directory(directory).map_err(io)?;
        let opened = {
            let path = path.clone();
            // What a damaged file makes the library do ends with this thread.
            thread::Builder::new().name("store-open".into()).spawn(move || open(&path)).map_err(io)?.join()
        };
        let reason = "reading it failed".to_owned();
        let (database, entries) = opened.map_err(|_| StoreError::Damaged { path, reason })??;
        let (changes, waiting) = sync_channel(MOST_WAITING);
        let thread = thread::Builder::new().name("store".into()).spawn(move || write(&database, &waiting));
        Ok((Self { changes: Some(changes), thread: Some(thread.map_err(io)?) }, entries))
    }

    pub(super) fn put(&self, revocation: Revocation) -> Written {
        self.change(Entry::Put(revocation))
    }

    pub(super) fn remove(&self, subjects: Vec<Subject>) -> Written {
        self.change(Entry::Remove(subjects))
    }

    fn change(&self, entry: Entry) -> Written {
        let (done, written) = oneshot::channel();
        let changes = self.changes.as_ref().expect("it is there until the store is dropped");
        if let Err(error) = changes.try_send(Change { entry, done }) {
            let (std::sync::mpsc::TrySendError::Full(change)
            | std::sync::mpsc::TrySendError::Disconnected(change)) = error;
            // Whoever does not wait does not want to know.
            let _ = change.done.send(Err("too many changes wait to be written".to_owned()));
        }
        written
    }
}

impl Drop for Store {
    /// Waits until all is written and the file is closed.
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by its thread, and those who waited for it were told.
            let _ = thread.join();
        }
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}

fn open(path: &Path) -> Result<(Database, Vec<Revocation>), StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let damaged = |reason: String| StoreError::Damaged { path: path.to_owned(), reason };
    match fs::metadata(path) {
        Ok(found) if found.len() == 0 => return Err(damaged("it is empty".into())),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(io(error)),
    }
    let mut database = Database::open(path).map_err(|error| fault(path, error))?;
    // A file that was closed in order is not checked by the library when it is opened.
    match database.check_integrity() {
        Ok(true) => {}
        Ok(false) => return Err(damaged("its checksums do not match".into())),
        Err(error) => return Err(fault(path, error)),
    }
    let entries = read(&database, path)?;
    Ok((database, entries))
}

/// Makes a new file under another name first, so that one that was begun and not finished is never taken for one that is there.
fn create(path: &Path) -> Result<(), StoreError> {
    let io = |source| StoreError::Io { path: path.to_owned(), source };
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let begin = || -> Result<(), redb::Error> {
        let database = Database::create(&unfinished)?;
        let change = database.begin_write()?;
        change.open_table(ENTRIES)?;
        change.open_table(ABOUT)?.insert("format", FORMAT)?;
        change.commit()?;
        Ok(())
    };
    begin().map_err(|error| fault(path, error))?;
    fs::rename(&unfinished, path).map_err(io)?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

fn read(database: &Database, path: &Path) -> Result<Vec<Revocation>, StoreError> {
    let damaged = |reason: &str| StoreError::Damaged { path: path.to_owned(), reason: reason.to_owned() };
    let all = || -> Result<(u64, Vec<Option<Revocation>>), redb::Error> {
        let state = database.begin_read()?;
        let format = state.open_table(ABOUT)?.get("format")?.map_or(0, |format| format.value());
        let mut entries = Vec::new();
        for entry in state.open_table(ENTRIES)?.iter()? {
            let (name, times) = entry?;
            entries.push(revocation(name.value(), times.value()));
        }
        Ok((format, entries))
    };
    let (format, entries) = all().map_err(|error| fault(path, error))?;
    if format != FORMAT {
        return Err(StoreError::Format { path: path.to_owned(), found: format });
    }
    let entries: Option<Vec<_>> = entries.into_iter().collect();
    entries.ok_or_else(|| damaged("it holds an entry of an unknown kind"))
}

fn write(database: &Database, waiting: &Receiver<Change>) {
    while let Ok(first) = waiting.recv() {
        let changes: Vec<_> = std::iter::once(first).chain(waiting.try_iter().take(AT_ONCE - 1)).collect();
        let written = commit(database, changes.iter().map(|change| &change.entry));
        let written = written.map_err(|error| error.to_string());
        for change in changes {
            // Whoever does not wait does not want to know.
            let _ = change.done.send(written.clone());
        }
    }
}

fn commit<'a>(database: &Database, entries: impl Iterator<Item = &'a Entry>) -> Result<(), redb::Error> {
    let change = database.begin_write()?;
    {
        let mut table = change.open_table(ENTRIES)?;
        for entry in entries {
            match entry {
                Entry::Put(Revocation { subject, expires }) => {
                    let (name, before) = named(subject);
                    table.insert(name, (before, *expires))?;
                }
                Entry::Remove(subjects) => {
                    for subject in subjects {
                        table.remove(named(subject).0)?;
                    }
                }
            }
        }
    }
    change.commit()?;
    Ok(())
}

fn named(subject: &Subject) -> (Name<'_>, i64) {
    match subject {
        Subject::Token(id) => ((1, id, ""), 0),
        Subject::User(user) => ((2, user, ""), 0),
        Subject::Channel { user, channel } => ((3, user, channel), 0),
        Subject::Issued { user: None, before } => ((4, "", ""), *before),
        Subject::Issued { user: Some(user), before } => ((5, user, ""), *before),
        Subject::Blocked(user) => ((6, user, ""), 0),
    }
}

fn revocation((kind, name, channel): Name<'_>, (before, expires): (i64, i64)) -> Option<Revocation> {
    let subject = match kind {
        1 => Subject::Token(name.into()),
        2 => Subject::User(name.into()),
        3 => Subject::Channel { user: name.into(), channel: channel.into() },
        4 => Subject::Issued { user: None, before },
        5 => Subject::Issued { user: Some(name.into()), before },
        6 => Subject::Blocked(name.into()),
        _ => return None,
    };
    Some(Revocation { subject, expires })
}

/// What an error of the library means for the file.
fn fault(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    let path = path.to_owned();
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
        // A file that ends too early is not the disk's fault.
        redb::Error::Io(source)
            if !matches!(source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) =>
        {
            StoreError::Io { path, source }
        }
        other => StoreError::Damaged { path, reason: other.to_string() },
    }
}
