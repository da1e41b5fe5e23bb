//! Revocations that are kept in a file.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use futures_util::FutureExt;

use crate::conformance::{Recorder, block_on};
use crate::{
    Barred, Bearer, Engine, EngineError, Full, ManualClock, MemoryEngine, MemoryLimits, Revocation,
    StoreError, Subject,
};

fn open(directory: &Path) -> Result<MemoryEngine<Recorder>, StoreError> {
    open_with(directory, MemoryLimits::default(), &ManualClock::default())
}

fn open_with(
    directory: &Path,
    limits: MemoryLimits,
    clock: &ManualClock,
) -> Result<MemoryEngine<Recorder>, StoreError> {
    MemoryEngine::with_clock(Recorder::default(), limits, clock.clock()).keep_in(directory)
}

fn subjects() -> [Subject; 6] {
    [
        Subject::Token("t1".into()),
        Subject::User("ann".into()),
        Subject::Channel { user: "ann".into(), channel: "news".into() },
        Subject::Issued { user: None, before: 17 },
        Subject::Issued { user: Some("ann".into()), before: 18 },
        Subject::Blocked("bob".into()),
    ]
}

fn revoke(engine: &MemoryEngine<Recorder>, subject: Subject, seconds: i64) -> Result<(), EngineError> {
    block_on(engine.revoke(Revocation { subject, expires: engine.revocations().now() + seconds }))
}

/// A directory whose file holds all kinds of revocations, closed in order.
fn filled() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    for subject in subjects() {
        revoke(&engine, subject, 1_000).unwrap();
    }
    engine.close();
    let file = directory.path().join("revocations.redb");
    (directory, file)
}

#[test]
fn what_is_revoked_is_there_after_a_restart() {
    let (directory, _) = filled();
    let engine = open(directory.path()).unwrap();
    let held = engine.revocations().list(None, 100);
    assert_eq!(held.len(), subjects().len());
    for subject in subjects() {
        assert!(held.iter().any(|revocation| revocation.subject == subject), "{subject:?}");
    }
    let bob = Bearer { user: "bob", issued: Some(100), ..Bearer::default() };
    assert_eq!(engine.revocations().judge(&bob), Some(Barred::Blocked));
}

#[test]
fn what_was_revoked_is_there_although_nobody_closed_the_file_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let engine = open(directory.path()).unwrap();
    revoke(&engine, Subject::Token("t1".into()), 1_000).unwrap();
    // What a machine that loses its power leaves behind.
    let other = tempfile::tempdir().unwrap();
    fs::copy(directory.path().join("revocations.redb"), other.path().join("revocations.redb")).unwrap();
    assert_eq!(open(other.path()).unwrap().revocations().len(), 1);
}

#[test]
fn what_was_pardoned_or_has_ended_does_not_come_back() {
    let (directory, _) = filled();
    let engine = open(directory.path()).unwrap();
    assert!(block_on(engine.pardon(&Subject::Blocked("bob".into()))).unwrap());
    assert!(block_on(engine.pardon(&Subject::Issued { user: None, before: 0 })).unwrap());
    revoke(&engine, Subject::Token("short".into()), 1).unwrap();
    engine.close();
    let clock = ManualClock::default();
    let engine = open_with(directory.path(), MemoryLimits::default(), &clock).unwrap();
    assert!(engine.revocations().len() >= 4);
    clock.advance(std::time::Duration::from_secs(2));
    engine.sweep();
    assert_eq!(engine.revocations().len(), 4);
    engine.close();
    assert_eq!(open(directory.path()).unwrap().revocations().len(), 4);
}

#[test]
fn a_file_that_was_cut_stops_the_start() {
    let (directory, file) = filled();
    let length = fs::metadata(&file).unwrap().len();
    let whole = fs::read(&file).unwrap();
    for cut in [0, 1, 100, 4_096, length / 2, length - 1] {
        fs::write(&file, &whole).unwrap();
        OpenOptions::new().write(true).open(&file).unwrap().set_len(cut).unwrap();
        let error = open(directory.path()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "cut to {cut}: {error:?}");
        assert!(error.to_string().contains("revocations.redb is damaged"), "{error}");
        assert!(error.to_string().contains("move it away"), "{error}");
    }
    fs::remove_file(&file).unwrap();
    assert!(open(directory.path()).unwrap().revocations().is_empty(), "the remedy works");
}

#[test]
fn a_file_with_a_changed_byte_never_loses_a_revocation_unnoticed() {
    let (directory, file) = filled();
    let whole = fs::read(&file).unwrap();
    let used: Vec<_> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut noticed = 0;
    for at in used.into_iter().step_by(211) {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        fs::write(&file, changed).unwrap();
        match open(directory.path()) {
            Ok(engine) => assert_eq!(engine.revocations().len(), subjects().len(), "byte {at}"),
            Err(_) => noticed += 1,
        }
    }
    assert!(noticed > 0);
}

#[test]
fn a_file_is_one_servers() {
    let (directory, _) = filled();
    let engine = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(StoreError::InUse { .. })));
    engine.close();
    assert!(open(directory.path()).is_ok());
}

#[test]
fn a_limit_below_what_is_kept_stops_the_start_instead_of_dropping_some() {
    let (directory, _) = filled();
    let limits = MemoryLimits { revocations: 5, ..MemoryLimits::default() };
    let error = open_with(directory.path(), limits, &ManualClock::default()).unwrap_err();
    assert!(matches!(error, StoreError::TooMany { limit: 5, .. }), "{error:?}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = open(&file.join("below")).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }) && error.to_string().contains("below"), "{error:?}");
}

#[test]
fn at_the_bound_the_engine_refuses_and_says_the_bound() {
    let limits = MemoryLimits { revocations: 1, ..MemoryLimits::default() };
    let engine = MemoryEngine::new(Recorder::default(), limits);
    revoke(&engine, Subject::Token("a".into()), 10).unwrap();
    assert_eq!(revoke(&engine, Subject::Token("b".into()), 10), Err(EngineError::Full(Full { limit: 1 })));
    assert_eq!(engine.sizes().revocations, 1);
    assert_eq!(engine.sink().revocations().len(), 1, "what was refused is not told");
}

#[test]
fn without_a_file_revoking_is_done_inline() {
    let engine = MemoryEngine::new(Recorder::default(), MemoryLimits::default());
    let expires = engine.revocations().now() + 10;
    let revocation = Revocation { subject: Subject::Token("a".into()), expires };
    assert_eq!(engine.revoke(revocation).now_or_never(), Some(Ok(())));
}
