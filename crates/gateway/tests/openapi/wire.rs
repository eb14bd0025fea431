//! A connection that stays open: one request after the other, each response read to its end and no further.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::Response;

/// A connection, opened anew when the server closed it.
pub struct Wire {
    address: SocketAddr,
    open: Option<BufReader<TcpStream>>,
}

impl Wire {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            open: None,
        }
    }

    pub async fn ask(&mut self, request: &[u8]) -> Response {
        if self.open.is_none() {
            self.open = Some(BufReader::new(
                TcpStream::connect(self.address).await.unwrap(),
            ));
        }
        let stream = self.open.as_mut().unwrap();
        stream.write_all(request).await.unwrap();
        let mut raw = Vec::new();
        while !raw.ends_with(b"\r\n\r\n") {
            assert_ne!(
                stream.read_until(b'\n', &mut raw).await.unwrap(),
                0,
                "a response comes"
            );
        }
        let head = String::from_utf8(raw.clone()).unwrap().to_lowercase();
        if head.contains("transfer-encoding: chunked") {
            while !raw.ends_with(b"\r\n0\r\n\r\n") {
                assert_ne!(
                    stream.read_until(b'\n', &mut raw).await.unwrap(),
                    0,
                    "a body comes to its end"
                );
            }
        } else if let Some((_, length)) = head.split_once("content-length: ") {
            let length = length
                .split("\r\n")
                .next()
                .unwrap()
                .parse::<usize>()
                .unwrap();
            let begun = raw.len();
            raw.resize(begun + length, 0);
            stream.read_exact(&mut raw[begun..]).await.unwrap();
        }
        if head.contains("connection: close") {
            self.open = None;
        }
        Response::parse(&String::from_utf8(raw).unwrap())
    }
}
