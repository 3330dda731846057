//! A list endpoint with axum and sqlx: cached for each shop, revalidated by ETag, and never older than a
//! change that was answered.
//!
//! ```sh
//! DATABASE_URL='sqlite:offers.db?mode=rwc' REDIS_URL=redis://127.0.0.1:6379 \
//!     cargo run -p freshset-examples --bin axum_list
//! curl -i 'http://127.0.0.1:3000/shops/s17/offers?limit=20&offset=0'
//! curl -i --json '{"title":"tea"}' http://127.0.0.1:3000/shops/s17/offers
//! ```
//!
//! Without `REDIS_URL` the cache is in the memory of this one process.

use std::env;

use anyhow::Context as _;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use bytes::Bytes;
use freshset::backend::memory::MemoryBackend;
use freshset::backend::redis::{RedisBackend, RedisOptions};
use freshset::{Cache, EntryKey, InvalidateError, Namespace, Near, Owner};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::SqlitePool;
use tokio::net::TcpListener;

/// Copies of entries that this process keeps, each compared before it is given.
const NEAR_BYTES_MAX: u64 = 64 << 20;
/// Length of the tag in front of an entry.
const TAG_BYTES: usize = 64;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS offers \
    (id INTEGER PRIMARY KEY, shop TEXT NOT NULL, title TEXT NOT NULL, UNIQUE (shop, title))";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database_url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let database = SqlitePool::connect(&database_url).await?;
    sqlx::query(TABLE).execute(&database).await?;
    let app = App { database, cache: connect_cache()? };
    let router = Router::new().route("/shops/{shop}/offers", get(list).post(add)).with_state(app);

    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

fn connect_cache() -> anyhow::Result<Cache> {
    let Ok(url) = env::var("REDIS_URL") else { return Ok(Cache::new(MemoryBackend::new())) };
    let backend = RedisBackend::new(&url, RedisOptions::new(Namespace::new("offers")?))?;
    Ok(Cache::builder(backend).near(Near::validated(NEAR_BYTES_MAX)).build())
}

#[derive(Clone)]
struct App {
    database: SqlitePool,
    cache: Cache,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(default)]
struct Range {
    limit: u32,
    offset: u32,
}

impl Default for Range {
    fn default() -> Self {
        Self { limit: 20, offset: 0 }
    }
}

#[derive(Serialize)]
struct Offer {
    id: i64,
    title: String,
}

#[derive(Deserialize)]
struct NewOffer {
    title: String,
}

/// What is invalidated as one: all lists of a shop, whatever their limit and offset.
fn owner_of(shop: &str) -> Result<Owner, Failure> {
    Owner::new("shop", shop).map_err(|_| Failure::NoSuchShop)
}

async fn list(
    State(app): State<App>,
    Path(shop): Path<String>,
    Query(range): Query<Range>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let owner = owner_of(&shop)?;
    let key = EntryKey::of(("offers", range.limit, range.offset));
    let key = key.map_err(|_| Failure::NoSuchShop)?;
    let load = || app.load_list(&shop, range);
    let answer = app.cache.get_or_load(&owner, &key, load).await;
    let answer = answer.map_err(|error| Failure::Database(error.to_string()))?;
    Ok(conditional(&headers, &answer.bytes))
}

impl App {
    /// The list as it is sent, behind its tag, so that a hit neither serialises nor hashes.
    async fn load_list(&self, shop: &str, range: Range) -> anyhow::Result<Bytes> {
        let query = "SELECT id, title FROM offers WHERE shop = ? ORDER BY id LIMIT ? OFFSET ?";
        let rows: Vec<(i64, String)> = sqlx::query_as(query)
            .bind(shop)
            .bind(range.limit)
            .bind(range.offset)
            .fetch_all(&self.database)
            .await?;
        let offers = rows.into_iter().map(|(id, title)| Offer { id, title });
        let body = serde_json::to_vec(&offers.collect::<Vec<_>>())?;
        let mut entry = hex::encode(Sha256::digest(&body)).into_bytes();
        entry.extend_from_slice(&body);
        Ok(entry.into())
    }

    /// Commits, and then invalidates. An offer that is there already changes nothing and invalidates all
    /// the same: the process that added it may have ended before its invalidation.
    async fn add_offer(&self, shop: &str, title: &str) -> Result<(), Failure> {
        let owner = owner_of(shop)?;
        sqlx::query("INSERT INTO offers (shop, title) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(shop)
            .bind(title)
            .execute(&self.database)
            .await?;
        self.cache.invalidate(&owner).await?;
        Ok(())
    }
}

/// 304 if the client has this list already.
fn conditional(headers: &HeaderMap, entry: &Bytes) -> Response {
    let (tag, body) = (entry.slice(..TAG_BYTES), entry.slice(TAG_BYTES..));
    let tag = [b"\"", &tag[..], b"\""].concat();
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag);
    let mut response = match known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
    };
    if let Ok(tag) = HeaderValue::from_bytes(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    // Browsers and proxies ask each time, or they would give a list that was invalidated.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn add(
    State(app): State<App>,
    Path(shop): Path<String>,
    Json(offer): Json<NewOffer>,
) -> Result<StatusCode, Failure> {
    // The server drops a handler whose client has disconnected, perhaps between the commit and the
    // invalidation. A task of its own goes on.
    let added = tokio::spawn(async move { app.add_offer(&shop, &offer.title).await });
    added.await.map_err(|error| Failure::Database(error.to_string()))??;
    Ok(StatusCode::NO_CONTENT)
}

/// Why a request is not answered as the client wished.
enum Failure {
    NoSuchShop,
    Database(String),
    /// The change is written, and may be invisible: the client repeats it.
    NotConfirmed,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.to_string())
    }
}

impl From<InvalidateError> for Failure {
    fn from(_: InvalidateError) -> Self {
        Self::NotConfirmed
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NoSuchShop => StatusCode::NOT_FOUND.into_response(),
            Self::Database(error) => {
                eprintln!("database: {error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
            Self::NotConfirmed => {
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")]).into_response()
            }
        }
    }
}
