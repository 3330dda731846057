//! Authentication of the routes below `/internal/v1`.

use aggregator::http::auth::{Auth, EmptyKey};
use axum::body::Body;
use axum::http::Request;
use secrecy::SecretString;

use crate::http::app::{App, KEY, SERVICE, SERVICES, authenticated};

const LIST: &str = "/internal/v1/batches/user/teacher";
const MISSING: (&str, &str) = ("missing_authentication", "Missing authentication");
const INVALID: (&str, &str) = ("invalid_credentials", "Invalid credentials");

#[tokio::test]
async fn every_other_pair_of_key_and_service_is_refused() {
    let app = App::new();
    let longer = format!("{KEY}x");
    let shorter = &KEY[..KEY.len() - 1];
    let keys = [None, Some(""), Some("wrong"), Some(&*longer), Some(shorter), Some(KEY)];
    let services = [None, Some(""), Some("unknown-service"), Some("ONE-SERVICE"), Some(SERVICE)];
    for key in keys {
        for service in services {
            let mut request = Request::builder().uri(LIST);
            if let Some(key) = key {
                request = request.header("X-Internal-API-Key", key);
            }
            if let Some(service) = service {
                request = request.header("X-Service-ID", service);
            }
            let answer = app.send(request.body(Body::empty()).unwrap()).await;
            let is_missing = [key, service].iter().any(|sent| sent.is_none_or(str::is_empty));
            let (code, sentence) = match (is_missing, key == Some(KEY) && service == Some(SERVICE))
            {
                (false, true) => {
                    assert_eq!(answer.status, 200);
                    continue;
                }
                (true, _) => MISSING,
                (false, false) => INVALID,
            };
            answer.assert_problem(401, code, sentence);
            assert_eq!(answer.header("www-authenticate"), "InternalApiKey");
        }
    }
    assert_eq!(app.repository.asked(), ["teacher"], "only the one pair came through");
}

#[tokio::test]
async fn every_allowed_service_is_let_in() {
    let app = App::new();
    for service in SERVICES {
        let request = Request::builder().uri(LIST).header("X-Service-ID", service);
        let request = request.header("X-Internal-API-Key", KEY).body(Body::empty()).unwrap();
        assert_eq!(app.send(request).await.status, 200, "{service}");
    }
}

/// While the key is rotated, callers change over one by one.
#[tokio::test]
async fn previous_key_is_let_in_and_counted_and_no_third_one() {
    let previous = "the key before it";
    let app = App::with_previous_key(previous);
    let ask = async |key: &str, service: &str| {
        let request = Request::builder().uri(LIST).header("X-Service-ID", service);
        let request = request.header("X-Internal-API-Key", key).body(Body::empty()).unwrap();
        app.send(request).await
    };
    let count = async || app.metric("ras_previous_key_requests_total").await.unwrap();
    assert_eq!(ask(KEY, SERVICE).await.status, 200);
    assert_eq!(count().await, 0.0, "the current key is not counted");
    assert_eq!(ask(previous, SERVICE).await.status, 200);
    assert_eq!(count().await, 1.0);
    for (key, service) in [
        (previous, "unknown-service"),
        ("the key before", SERVICE),
        ("the key before it!", SERVICE),
        ("wrong", SERVICE),
    ] {
        ask(key, service).await.assert_problem(401, INVALID.0, INVALID.1);
    }
    assert_eq!(count().await, 1.0, "who is refused is not counted");
}

#[tokio::test]
async fn previous_key_is_refused_once_it_is_no_longer_set() {
    let app = App::new();
    let request = Request::builder().uri(LIST).header("X-Service-ID", SERVICE);
    let request = request.header("X-Internal-API-Key", "the key before it");
    let answer = app.send(request.body(Body::empty()).unwrap()).await;
    answer.assert_problem(401, INVALID.0, INVALID.1);
}

#[tokio::test]
async fn two_values_of_one_header_are_refused() {
    let app = App::new();
    for (name, value) in [("X-Internal-API-Key", KEY), ("X-Service-ID", SERVICE)] {
        let request = authenticated(LIST).header(name, value).body(Body::empty()).unwrap();
        app.send(request).await.assert_problem(401, INVALID.0, INVALID.1);
    }
}

#[tokio::test]
async fn header_values_that_are_no_text_are_refused() {
    let app = App::new();
    let request = Request::builder().uri(LIST).header("X-Internal-API-Key", KEY);
    let request = request.header("X-Service-ID", &b"\xff\xfe"[..]).body(Body::empty()).unwrap();
    app.send(request).await.assert_problem(401, INVALID.0, INVALID.1);
}

#[tokio::test]
async fn caller_without_a_key_learns_nothing_about_routes() {
    let app = App::new();
    for path in ["", "/", "/nothing", "/batches/user/", "/batches//status", "/events"] {
        for method in ["GET", "POST", "DELETE"] {
            let path = format!("/internal/v1{path}");
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            app.send(request).await.assert_problem(401, MISSING.0, MISSING.1);
        }
    }
}

#[test]
fn empty_key_is_refused() {
    let auth = Auth::new(&SecretString::from(""), SERVICES);
    assert_eq!(auth.unwrap_err(), EmptyKey);
    let auth = Auth::new(&SecretString::from(KEY), SERVICES).unwrap();
    assert_eq!(auth.with_previous_key(&SecretString::from("")).unwrap_err(), EmptyKey);
}

#[test]
fn debug_output_does_not_show_the_key() {
    let auth = Auth::new(&SecretString::from("hunter2"), ["one"]).unwrap();
    let shown = format!("{auth:?}");
    assert!(shown.contains("one") && !shown.contains("hunter2") && !shown.contains("digest"));
}
