//! What does it cost to ask a limit, and what does it cost beside the clock? Unit: questions.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use throng_server::limits::{Bucket, Rate};

/// Questions a measurement asks in one go: far more than what the clock's own cost would hide.
const QUESTIONS: u32 = 1_000;

fn buckets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("limits");
    group.throughput(Throughput::Elements(QUESTIONS.into()));
    let rate = Rate::new(1_000_000, Rate::MAX_BURST);
    group.bench_function("bucket, same millisecond", |bencher| {
        bencher.iter(|| {
            let mut bucket = Bucket::full(&rate, 0);
            let passed = (0..QUESTIONS).filter(|_| bucket.take(black_box(&rate), 1, black_box(0))).count();
            assert_eq!(passed, QUESTIONS as usize);
        });
    });
    group.bench_function("bucket, a millisecond each", |bencher| {
        bencher.iter(|| {
            let mut bucket = Bucket::full(&rate, 0);
            let passed =
                (0..QUESTIONS).filter(|now| bucket.take(black_box(&rate), 1, black_box(*now))).count();
            assert_eq!(passed, QUESTIONS as usize);
        });
    });
    let empty = Rate::new(1, 1);
    group.bench_function("bucket, refused", |bencher| {
        bencher.iter(|| {
            let mut bucket = Bucket::full(&empty, 0);
            let passed = (0..QUESTIONS).filter(|_| bucket.take(black_box(&empty), 1, black_box(0))).count();
            assert_eq!(passed, 1);
        });
    });
    group.bench_function("bucket and clock", |bencher| {
        let start = Instant::now();
        bencher.iter(|| {
            let mut bucket = Bucket::full(&rate, 0);
            let now = || u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX);
            let passed = (0..QUESTIONS).filter(|_| bucket.take(black_box(&rate), 1, now())).count();
            assert_eq!(passed, QUESTIONS as usize);
        });
    });
    group.finish();
}

criterion_group!(benches, buckets);
criterion_main!(benches);
