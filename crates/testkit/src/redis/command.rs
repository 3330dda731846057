//! One command to a Redis, over a connection of its own: enough to set up servers and to ask them.
//!
//! Not a Redis client: no pipelines, no nested replies, no login.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Elements of the reply: one for a simple reply, none for nil.
pub(super) type Reply = Vec<Vec<u8>>;

/// Sends a command to the server on this port of 127.0.0.1.
///
/// # Errors
///
/// The server does not reply within `limit`, or replies with an error.
pub(super) async fn command(
    port: u16,
    words: &[impl AsRef<[u8]>],
    limit: Duration,
) -> anyhow::Result<Reply> {
    let name = || {
        let shown = words.iter().map(|word| String::from_utf8_lossy(word.as_ref()).into_owned());
        format!("`{}` to port {port}", shown.collect::<Vec<_>>().join(" "))
    };
    let replied = timeout(limit, exchange(port, words)).await;
    replied.with_context(|| format!("no reply to {} in {limit:?}", name()))?.with_context(name)
}

/// Like [`command`], for a reply that is one text.
pub(super) async fn text(
    port: u16,
    words: &[impl AsRef<[u8]>],
    limit: Duration,
) -> anyhow::Result<String> {
    let reply = command(port, words, limit).await?;
    Ok(String::from_utf8_lossy(&reply.concat()).into_owned())
}

async fn exchange(port: u16, words: &[impl AsRef<[u8]>]) -> anyhow::Result<Reply> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        request.extend(format!("${}\r\n", word.len()).into_bytes());
        request.extend([word, b"\r\n"].concat());
    }
    stream.write_all(&request).await?;
    let mut stream = BufReader::new(stream);
    let (kind, value) = read_line(&mut stream).await?;
    if kind != '*' {
        return Ok(read_value(&mut stream, kind, value).await?.into_iter().collect());
    }
    let mut reply = Reply::new();
    for _ in 0..value.parse().unwrap_or(0) {
        let (kind, value) = read_line(&mut stream).await?;
        reply.push(read_value(&mut stream, kind, value).await?.unwrap_or_default());
    }
    Ok(reply)
}

/// The rest of a value whose first line is known. `None`: nil.
async fn read_value(
    stream: &mut BufReader<TcpStream>,
    kind: char,
    value: String,
) -> anyhow::Result<Option<Vec<u8>>> {
    match kind {
        '+' | ':' => Ok(Some(value.into_bytes())),
        '$' => {
            let Ok(length) = value.parse::<usize>() else { return Ok(None) };
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).await?;
            read_line_end(stream).await?;
            Ok(Some(bytes))
        }
        '-' => bail!("the server replies: {value}"),
        _ => bail!("a reply of the kind `{kind}` is not expected"),
    }
}

/// The kind of a value, and the rest of its first line.
async fn read_line(stream: &mut BufReader<TcpStream>) -> anyhow::Result<(char, String)> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut characters = line.trim_end().chars();
    let kind = characters.next().context("the server closed the connection")?;
    Ok((kind, characters.collect()))
}

async fn read_line_end(stream: &mut BufReader<TcpStream>) -> anyhow::Result<()> {
    let mut end = [0; 2];
    stream.read_exact(&mut end).await?;
    Ok(())
}
