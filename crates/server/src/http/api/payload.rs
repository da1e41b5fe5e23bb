//! What applications send and get, in the forms that JSON has for it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use throng_protocol::{ClientInfo, ErrorCode, Limits, Payload, api};

/// What a request carries as JSON and, if that is not empty, in base64 instead. Reference section 6.3.
pub(super) fn decoded(json: Payload, base64: &str) -> Result<Payload, ErrorCode> {
    if base64.is_empty() {
        return Ok(json);
    }
    STANDARD.decode(base64).map(Payload::from).map_err(|_| ErrorCode::BadRequest)
}

/// Refuses what others could not read as a part of JSON.
pub(super) fn checked(payload: Payload) -> Result<Payload, ErrorCode> {
    if payload.is_empty() || is_json(&payload) { Ok(payload) } else { Err(ErrorCode::BadRequest) }
}

/// A publication as JSON has it: with data in base64 if it cannot be embedded.
pub(super) fn publication(publication: throng_protocol::Publication) -> api::Publication {
    let mut publication = api::Publication::from(publication);
    if !is_json(&publication.data) {
        publication.b64data = STANDARD.encode(publication.data.as_bytes());
        publication.data = Payload::default();
    }
    publication.info = publication.info.map(client);
    publication
}

/// A client as JSON has it: without what cannot be embedded.
pub(super) fn client(mut info: ClientInfo) -> ClientInfo {
    for part in [&mut info.conn_info, &mut info.chan_info] {
        if !part.is_empty() && !is_json(part) {
            *part = Payload::default();
        }
    }
    info
}

pub(super) fn is_json(payload: &Payload) -> bool {
    payload.is_json_within(Limits::default().nesting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_wins_when_it_is_there_and_must_be_padded() {
        let json = || Payload::from("{}");
        assert_eq!(decoded(json(), ""), Ok(json()));
        assert_eq!(decoded(json(), "MTI="), Ok(Payload::from("12")));
        assert_eq!(decoded(Payload::default(), "/wA="), Ok(Payload::from(vec![0xff, 0])));
        for wrong in ["MTI", "MTI==", "MTJ=", "_wA=", "M TI=", "\u{e4}"] {
            assert_eq!(decoded(json(), wrong), Err(ErrorCode::BadRequest), "{wrong}");
        }
    }

    #[test]
    fn what_json_cannot_hold_becomes_base64_or_is_left_out() {
        let binary =
            throng_protocol::Publication { data: vec![0xff].into(), offset: 3, ..Default::default() };
        let told = publication(binary);
        assert_eq!((told.data, &*told.b64data, told.offset), (Payload::default(), "/w==", 3));
        let known = ClientInfo {
            user: "ann".into(),
            conn_info: "{}".into(),
            chan_info: vec![0].into(),
            ..Default::default()
        };
        let told = client(known);
        assert_eq!((told.conn_info, told.chan_info), ("{}".into(), Payload::default()));
    }
}
