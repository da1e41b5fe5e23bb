//! What must hold for any input. The fuzz target runs this on what it invents, the tests on what they generate and on
//! the committed seeds. A broken rule is a panic.

use bytes::{Bytes, BytesMut};
use serde_json::value::RawValue;
use throng_protocol::api::{ApiDecodeError, ApiRequest, ApiResponse};

/// What is accepted as a body survives being written and read again. The input is a method's name, a line break, and
/// a body. Returns how many requests were accepted.
pub(crate) fn api(bytes: &[u8]) -> usize {
    let split = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let method = String::from_utf8_lossy(&bytes[..split]);
    let body = Bytes::copy_from_slice(bytes.get(split + 1..).unwrap_or_default());
    response(&method, &body);
    match ApiRequest::decode(&method, &body) {
        Ok(request) => {
            assert_eq!(request.method(), method);
            assert!(is_json(&body));
            let json = written(|out| request.encode_json(out));
            assert!(is_json(&json), "{request:?} became {json:?}");
            let again = ApiRequest::decode(&method, &json).expect("what we write is what we read");
            // A payload may lose CR when it is written, so the bytes are compared.
            assert_eq!(written(|out| again.encode_json(out)), json);
            1
        }
        Err(ApiDecodeError::UnknownMethod) => {
            assert!(ApiRequest::methods().all(|name| name != method));
            0
        }
        Err(ApiDecodeError::Malformed(_)) => 0,
    }
}

fn response(method: &str, body: &Bytes) {
    if let Ok(response) = ApiResponse::decode(method, body) {
        assert!(is_json(body));
        let json = written(|out| response.encode_json(out));
        assert!(is_json(&json), "{response:?} became {json:?}");
        let again = ApiResponse::decode(method, &json).expect("what we write is what we read");
        assert_eq!(written(|out| again.encode_json(out)), json);
    }
}

fn written(write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    write(&mut out);
    out.freeze()
}

fn is_json(bytes: &[u8]) -> bool {
    serde_json::from_slice::<&RawValue>(bytes).is_ok()
}
