//! The HTTP server API: bodies against the reference's examples, against serde_json, and against hostile input.

mod check;
mod golden;
mod openapi;
mod rules;
mod strategy;

use std::path::Path;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use throng_protocol::api::{ApiDecodeError, ApiRequest, ApiResponse};

fn request(method: &str, body: &str) -> Result<ApiRequest, ApiDecodeError> {
    ApiRequest::decode(method, &Bytes::copy_from_slice(body.as_bytes()))
}

fn response(method: &str, body: &str) -> Result<ApiResponse, ApiDecodeError> {
    ApiResponse::decode(method, &Bytes::copy_from_slice(body.as_bytes()))
}

fn encoded(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8(out.to_vec()).expect("we write UTF-8")
}

fn through_serde_json(json: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json).expect("we write JSON").to_string()
}

#[test]
fn every_seed_passes_the_check_of_the_fuzz_target() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/api");
    let accepted: usize = std::fs::read_dir(&seeds)
        .unwrap_or_else(|error| panic!("{}: {error}", seeds.display()))
        .map(|seed| std::fs::read(seed.expect("readable").path()).expect("readable"))
        .map(|seed| check::api(&seed))
        .sum();
    assert!(accepted > 10, "the seeds hold little that is accepted: {accepted}");
}

proptest! {
    #[test]
    fn requests_survive_as_they_are_and_through_serde_json(expected in strategy::request()) {
        let body = encoded(|out| expected.encode_json(out));
        prop_assert_eq!(request(expected.method(), &body), Ok(expected.clone()));
        prop_assert_eq!(request(expected.method(), &through_serde_json(&body)), Ok(expected.clone()));
        let input = format!("{}\n{body}", expected.method());
        prop_assert_eq!(check::api(input.as_bytes()), 1);
    }

    #[test]
    fn responses_survive_as_they_are_and_through_serde_json((method, expected) in strategy::answer()) {
        let body = encoded(|out| expected.encode_json(out));
        prop_assert_eq!(response(method, &body), Ok(expected.clone()));
        prop_assert_eq!(response(method, &through_serde_json(&body)), Ok(expected));
    }

    #[test]
    fn a_body_cut_short_is_never_read(expected in strategy::request(), cut in any::<prop::sample::Index>()) {
        let body = encoded(|out| expected.encode_json(out));
        let cut = cut.index(body.len());
        let start = Bytes::copy_from_slice(&body.as_bytes()[..cut]);
        prop_assert!(ApiRequest::decode(expected.method(), &start).is_err());
    }

    #[test]
    fn noise_is_refused_without_harm(bytes: Vec<u8>) {
        for method in ApiRequest::methods() {
            let _ = ApiRequest::decode(method, &Bytes::copy_from_slice(&bytes));
            let _ = ApiResponse::decode(method, &Bytes::copy_from_slice(&bytes));
        }
    }
}
