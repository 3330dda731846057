//! What a list request may ask for, and the problem otherwise.

use database::PageQuery;
use projection::{BatchStatus, ClientStatus, UserId};

use crate::http::app::App;

const LIST: &str = "/internal/v1/batches/user/teacher";

fn standard() -> PageQuery {
    PageQuery {
        user_id: UserId::parse("teacher").unwrap(),
        statuses: Vec::new(),
        limit: 20,
        offset: 0,
        include_essays: true,
    }
}

#[tokio::test]
async fn list_query_selects_its_page() {
    let app = App::new();
    let failed = vec![BatchStatus::ContentIngestionFailed, BatchStatus::FailedCritically];
    for (query, want) in [
        ("", standard()),
        ("?", PageQuery { limit: 20, ..standard() }),
        ("?limit=0", PageQuery { limit: 0, ..standard() }),
        ("?limit=1", PageQuery { limit: 1, ..standard() }),
        ("?limit=100", PageQuery { limit: 100, ..standard() }),
        ("?limit=007", PageQuery { limit: 7, ..standard() }),
        ("?offset=1000000", PageQuery { offset: 1_000_000, ..standard() }),
        ("?limit=3&offset=4", PageQuery { limit: 3, offset: 4, ..standard() }),
        ("?status=failed", PageQuery { statuses: failed, ..standard() }),
        ("?status=cancelled", PageQuery { statuses: vec![BatchStatus::Cancelled], ..standard() }),
        ("?status=&limit=2", PageQuery { limit: 2, ..standard() }),
        ("?include=summary", PageQuery { include_essays: false, ..standard() }),
        ("?include=full&limit=4", PageQuery { limit: 4, ..standard() }),
        ("?%6Cimit=5&other=%FF&other=x&%FF=1", PageQuery { limit: 5, ..standard() }),
        ("?&&limit=6&", PageQuery { limit: 6, ..standard() }),
    ] {
        let app_query = app.get(&format!("{LIST}{query}")).await;
        assert_eq!(app_query.status, 200, "{query}");
        assert_eq!(app.repository.last_query(), want, "{query}");
    }
}

#[tokio::test]
async fn every_internal_and_client_status_is_accepted() {
    let app = App::new();
    let internal = BatchStatus::ALL.iter().map(|status| status.as_str());
    let client = ClientStatus::ALL.iter().map(|status| status.as_str());
    for status in internal.chain(client) {
        assert_eq!(app.get(&format!("{LIST}?status={status}")).await.status, 200, "{status}");
    }
}

#[tokio::test]
async fn invalid_list_query_is_refused_with_allowed_values() {
    let app = App::new();
    let limit = "limit: not a whole number from 0 to 100";
    let offset = "offset: not a whole number from 0 to 1000000";
    let include = "include: unknown value, allowed: full, summary";
    let status = "status: unknown status, allowed: awaiting_content_validation, ";
    let twice = "is given more than once";
    for (query, want) in [
        ("limit=", limit),
        ("limit", limit),
        ("limit=ten", limit),
        ("limit=-1", limit),
        ("limit=%2B1", limit),
        ("limit=+1", limit),
        ("limit=1.0", limit),
        ("limit=1e1", limit),
        ("limit=0x10", limit),
        ("limit=%201", limit),
        ("limit=101", limit),
        ("limit=4294967296", limit),
        ("limit=99999999999999999999999", limit),
        ("limit=%D9%A1", limit),
        ("offset=", offset),
        ("offset=-1", offset),
        ("offset=1000001", offset),
        ("offset=x", offset),
        ("include=", include),
        ("include=essays", include),
        ("include=Summary", include),
        ("status=unknown", status),
        ("status=Failed", status),
        ("status=failed,ready", status),
        ("status=+failed", status),
        ("status=%00", status),
        ("status=%FF", "status: is not percent-encoded UTF-8"),
        ("limit=1&limit=1", twice),
        ("limit=1&%6Cimit=2", twice),
        ("offset=1&limit=1&offset=2", twice),
        ("status=&status=failed", twice),
        ("include=full&include=full", twice),
    ] {
        let answer = app.get(&format!("{LIST}?{query}")).await;
        let detail = answer.assert_problem(400, "invalid_parameter", "Invalid parameter");
        assert!(detail.contains(want), "{query}: {detail}");
        let name = query.split('=').next().unwrap();
        assert!(detail.starts_with(name), "{query}: {detail}");
    }
    assert!(app.repository.asked().is_empty());
}

#[tokio::test]
async fn refusal_of_a_status_names_every_allowed_one() {
    let app = App::new();
    let answer = app.get(&format!("{LIST}?status=unknown")).await;
    let detail = answer.assert_problem(400, "invalid_parameter", "Invalid parameter");
    let internal = BatchStatus::ALL.iter().map(|status| status.as_str());
    let client = ClientStatus::ALL.iter().map(|status| status.as_str());
    for status in internal.chain(client) {
        assert!(detail.contains(status), "{status}");
    }
}

#[tokio::test]
async fn query_longer_than_its_limit_is_refused() {
    let app = App::new();
    let longest = format!("{LIST}?x={}", "y".repeat(4_094));
    assert_eq!(app.get(&longest).await.status, 200);
    let detail = app.get(&format!("{longest}y")).await.assert_problem(
        400,
        "invalid_parameter",
        "Invalid parameter",
    );
    assert_eq!(detail, "query: has 4097 bytes, the limit is 4096");
}

#[tokio::test]
async fn unknown_user_has_an_empty_list() {
    let app = App::new();
    let answer = app.get("/internal/v1/batches/user/nobody").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, r#"{"batches":[],"pagination":{"limit":20,"offset":0,"total":0}}"#);
}

#[tokio::test]
async fn page_has_its_limit_offset_and_total() {
    let app = App::new();
    for batch in ["first", "second", "third"] {
        app.repository.register(batch, "teacher", 1);
    }
    let page = app.get(&format!("{LIST}?limit=1&offset=1")).await.json();
    assert_eq!(page["batches"][0]["batch_id"], "second");
    assert_eq!(page["batches"].as_array().unwrap().len(), 1);
    assert_eq!(page["pagination"], serde_json::json!({"limit": 1, "offset": 1, "total": 3}));
}

#[tokio::test]
async fn summary_has_everything_but_the_essays() {
    let app = App::new();
    app.repository.register("batch", "teacher", 2);
    let full = app.get(LIST).await.json();
    let mut summary = app.get(&format!("{LIST}?include=summary")).await.json();
    assert!(summary["batches"][0].get("essays").is_none());
    summary["batches"][0]["essays"] = full["batches"][0]["essays"].clone();
    assert_eq!(summary, full);
    assert_eq!(full["batches"][0]["essays"].as_array().unwrap().len(), 2);
}
