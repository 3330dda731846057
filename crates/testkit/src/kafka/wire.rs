//! Requests of the Kafka protocol that a test needs before its first client: is the broker ready, create a
//! topic, does the topic have leaders; and one that no client here has: unregister the broker. The tools of
//! Kafka take a second each.
//!
//! Formats: the Kafka protocol guide, `CreateTopics` and `Metadata`, both in version 4, which has
//! no tagged fields yet, and which brokers still understand in 4.x; `UnregisterBroker` in version 0, which has.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
const UNREGISTER_BROKER: i16 = 64;
const VERSION: i16 = 4;
const ERROR_NONE: i16 = 0;
const ERROR_TOPIC_EXISTS: i16 = 36;
/// Timed out, not the controller: a broker that has just come back says so for a moment.
const TRANSIENT_ERRORS: [i16; 2] = [7, 41];
/// One copy: there is one broker.
const REPLICATION: i16 = 1;

/// How long a broker that accepts connections may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What the broker is given to create a topic.
const CREATE_TIMEOUT_MS: i32 = 5_000;
/// An answer about one broker and one topic is far smaller.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Whether the broker counts itself among those that lead partitions.
pub(super) async fn answers(broker: SocketAddr) -> bool {
    matches!(metadata(broker, None).await, Ok(seen) if seen.brokers > 0)
}

/// Creates a topic; one that exists is left as it is. `false`: not now, ask again.
pub(super) async fn create_topic(
    broker: SocketAddr,
    name: &str,
    partitions: u16,
) -> anyhow::Result<bool> {
    let mut request = Request::new(CREATE_TOPICS);
    request.int32(1).string(name).int32(i32::from(partitions)).int16(REPLICATION);
    // No assignments, no configs; not only validated.
    request.int32(0).int32(0).int32(CREATE_TIMEOUT_MS).int8(0);
    let bytes = exchange(broker, request).await?;
    let mut answer = Answer::new(&bytes);
    answer.int32()?; // throttled for so many ms
    for _ in 0..answer.int32()? {
        let name = answer.string()?.unwrap_or_default();
        let error = answer.int16()?;
        let message = answer.string()?.unwrap_or_default();
        match error {
            ERROR_NONE | ERROR_TOPIC_EXISTS => {}
            error if TRANSIENT_ERRORS.contains(&error) => return Ok(false),
            error => bail!("kafka refused to create topic {name}: error {error} {message}"),
        }
    }
    Ok(true)
}

/// Whether every partition of a topic can be written to.
pub(super) async fn has_leaders(
    broker: SocketAddr,
    topic: &str,
    partitions: u16,
) -> anyhow::Result<bool> {
    let seen = metadata(broker, Some(topic)).await?;
    Ok(seen.partitions_with_leader >= usize::from(partitions))
}

/// Removes this broker from the cluster until it starts again. It answers until then, and names no broker.
pub(super) async fn unregister(broker: SocketAddr, id: i32) -> anyhow::Result<()> {
    let mut request = Request::of(UNREGISTER_BROKER, 0);
    // No tagged fields, neither in the head nor after the body.
    request.int8(0).int32(id).int8(0);
    let bytes = exchange(broker, request).await?;
    let mut answer = Answer::new(&bytes);
    answer.int8()?; // no tagged fields
    answer.int32()?; // throttled for so many ms
    let error = answer.int16()?;
    ensure!(error == ERROR_NONE, "kafka refused to unregister broker {id}: error {error}");
    Ok(())
}

struct Metadata {
    brokers: usize,
    partitions_with_leader: usize,
}

async fn metadata(broker: SocketAddr, topic: Option<&str>) -> anyhow::Result<Metadata> {
    let mut request = Request::new(METADATA);
    match topic {
        Some(topic) => request.int32(1).string(topic),
        None => request.int32(0),
    };
    request.int8(0); // creates no topic
    let bytes = exchange(broker, request).await?;
    let mut answer = Answer::new(&bytes);
    answer.int32()?; // throttled for so many ms
    let brokers = answer.int32()?;
    for _ in 0..brokers {
        answer.int32()?; // node
        answer.string()?; // host
        answer.int32()?; // port
        answer.string()?; // rack
    }
    answer.string()?; // cluster
    answer.int32()?; // controller
    let mut partitions_with_leader = 0;
    for _ in 0..answer.int32()? {
        partitions_with_leader += answer.topic()?;
    }
    Ok(Metadata { brokers: usize::try_from(brokers)?, partitions_with_leader })
}

async fn exchange(broker: SocketAddr, request: Request) -> anyhow::Result<Vec<u8>> {
    let exchange = async {
        let mut stream = TcpStream::connect(broker).await?;
        stream.write_all(&request.framed()?).await?;
        let length = usize::try_from(stream.read_i32().await?)?;
        ensure!(length <= ANSWER_BYTES_MAX, "an answer of {length} bytes");
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await?;
        anyhow::Ok(bytes)
    };
    timeout(ANSWER_TIMEOUT, exchange)
        .await
        .with_context(|| format!("kafka at {broker} did not answer within {ANSWER_TIMEOUT:?}"))?
        .with_context(|| format!("ask kafka at {broker}"))
}

/// A request, field after field, big-endian.
struct Request(Vec<u8>);

impl Request {
    fn new(api: i16) -> Self {
        Self::of(api, VERSION)
    }

    fn of(api: i16, version: i16) -> Self {
        let mut request = Self(Vec::new());
        // Correlation 0: one request per connection. Then the client's name.
        request.int16(api).int16(version).int32(0).string("testkit");
        request
    }

    fn int8(&mut self, value: i8) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn int16(&mut self, value: i16) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn int32(&mut self, value: i32) -> &mut Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Cut to the length that the protocol can say; the broker refuses a topic name long before.
    fn string(&mut self, value: &str) -> &mut Self {
        let length = i16::try_from(value.len()).unwrap_or(i16::MAX);
        self.int16(length);
        self.0.extend(value.bytes().take(usize::from(length.unsigned_abs())));
        self
    }

    fn framed(&self) -> anyhow::Result<Vec<u8>> {
        let mut frame = i32::try_from(self.0.len())?.to_be_bytes().to_vec();
        frame.extend(&self.0);
        Ok(frame)
    }
}

/// An answer, taken field after field.
struct Answer<'a>(&'a [u8]);

impl<'a> Answer<'a> {
    /// Past the correlation.
    fn new(bytes: &'a [u8]) -> Self {
        Self(bytes.get(4..).unwrap_or_default())
    }

    /// How many partitions of the topic that comes next have a leader and no error.
    fn topic(&mut self) -> anyhow::Result<usize> {
        self.int16()?; // error: it shows in the partitions
        self.string()?; // name
        self.int8()?; // internal
        let mut with_leader = 0;
        for _ in 0..self.int32()? {
            let error = self.int16()?;
            self.int32()?; // partition
            let leader = self.int32()?;
            self.int32s()?; // replicas
            self.int32s()?; // in sync
            with_leader += usize::from(error == ERROR_NONE && leader >= 0);
        }
        Ok(with_leader)
    }

    fn int8(&mut self) -> anyhow::Result<i8> {
        Ok(i8::from_be_bytes(self.take()?))
    }

    fn int16(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn int32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn int32s(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.int32()? {
            self.int32()?;
        }
        Ok(())
    }

    /// `None`: null.
    fn string(&mut self) -> anyhow::Result<Option<String>> {
        let Ok(length) = usize::try_from(self.int16()?) else { return Ok(None) };
        let (text, rest) = self.0.split_at_checked(length).context("the answer is cut off")?;
        self.0 = rest;
        Ok(Some(String::from_utf8_lossy(text).into_owned()))
    }

    fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk().context("the answer is cut off")?;
        self.0 = rest;
        Ok(*field)
    }
}
