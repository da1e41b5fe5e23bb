use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::bounded::patiently;

/// An HTTP request that the test has answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// The request line and the headers, as they came, with the empty line at the end.
    pub head: String,
    /// The body; empty without a `Content-Length`.
    pub body: String,
}

impl Call {
    /// Reads one HTTP request from a stream, sends these bytes as the answer, and closes the writing side.
    pub async fn answered(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: &str) -> Self {
        patiently("an HTTP request", async {
            let head = Self::head(stream).await;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().to_owned())
            });
            let length = length.map_or(0, |length| length.parse().expect("the content-length is a number"));
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.expect("the body ends before its content-length");
            stream.write_all(answer.as_bytes()).await.expect("the client does not wait for the answer");
            stream.shutdown().await.expect("the client does not wait for the answer");
            Self { head, body: String::from_utf8(body).expect("the body is no text") }
        })
        .await
    }

    /// Reads the head of a request, and nothing beyond it.
    pub(super) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(error) => panic!(
                    "awaited an HTTP request, but after {:?} came: {error}",
                    String::from_utf8_lossy(&head)
                ),
            }
        }
        String::from_utf8(head).expect("the head of the request is no text")
    }
}
