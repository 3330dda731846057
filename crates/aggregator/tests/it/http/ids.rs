//! Ids are opaque: whatever a client can encode reaches the repository unchanged.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::http::app::App;

fn escape(id: &str) -> String {
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}

fn paths(segment: &str) -> [String; 2] {
    [
        format!("/internal/v1/batches/user/{segment}"),
        format!("/internal/v1/batches/{segment}/status"),
    ]
}

#[tokio::test]
async fn percent_sign_that_encodes_nothing_is_refused() {
    let app = App::new();
    for wrong in ["%zz", "%4", "%", "a%", "%%41", "%4%41", "%g1", "%u0041"] {
        for path in [
            format!("/internal/v1/batches/{wrong}/status"),
            format!("/internal/v1/batches/user/{wrong}"),
            format!("/internal/v1/{wrong}"),
            format!("/{wrong}"),
        ] {
            let answer = app.get(&path).await;
            answer.assert_problem(400, "malformed_request", "Malformed request");
        }
        for name in ["limit", "status", "include"] {
            let path = format!("/internal/v1/batches/user/teacher?{name}={wrong}");
            let answer = app.get(&path).await;
            let detail = answer.assert_problem(400, "invalid_parameter", "Invalid parameter");
            assert_eq!(detail, format!("{name}: is not percent-encoded UTF-8"));
        }
    }
    assert!(app.repository.asked().is_empty());
}

#[tokio::test]
async fn odd_ids_arrive_unchanged_and_share_nothing() {
    let app = App::new();
    let longest = "ü/".repeat(85);
    let ids = [
        "a",
        "A",
        "a/b",
        "a%2Fb",
        "a%252Fb",
        "/",
        "//",
        "%",
        "%25",
        "a:b",
        "{a}",
        "{",
        "}",
        "*",
        " ",
        " a ",
        "a+b",
        "a b",
        "..",
        ".",
        "../../healthz",
        "status",
        "user/x",
        "?limit=1",
        "#",
        "&",
        "ünïcødé",
        "日本語",
        "😀",
        "e\u{301}",
        "é",
        "\u{200b}",
        "'; --",
        "\\",
        &longest,
    ];
    for id in ids {
        let [list, status] = paths(&escape(id));
        app.repository.register(id, id, 1);
        let answer = app.get(&list).await;
        assert_eq!(answer.status, 200, "{id:?}");
        assert_eq!(answer.cache_status(), "freshset; fwd=miss; stored", "{id:?}");
        assert_eq!(answer.json()["batches"][0]["batch_id"], id, "{id:?}");
        assert_eq!(answer.json()["pagination"]["total"], 1, "{id:?}");
        let answer = app.get(&status).await;
        assert_eq!(answer.status, 200, "{id:?}");
        assert_eq!(answer.cache_status(), "freshset; fwd=miss; stored", "{id:?}");
        assert_eq!(answer.json()["batch_id"], id);
        assert_eq!(answer.json()["user_id"], id);
    }
    let twice: Vec<&str> = ids.iter().flat_map(|id| [*id, *id]).collect();
    assert_eq!(app.repository.asked(), twice);
}

#[tokio::test]
async fn two_encodings_of_an_id_are_the_same_id() {
    let app = App::new();
    for segment in ["a:b", "a%3Ab", "a%3ab", "%61%3A%62"] {
        app.get(&paths(segment)[0]).await;
    }
    assert_eq!(app.repository.asked(), ["a:b"], "the first was a miss, the others hits");
}

#[tokio::test]
async fn ids_that_begin_like_a_word_of_the_route_are_ids() {
    let app = App::new();
    for id in ["u", "use", "users", "user2", "userstatus", "User"] {
        app.repository.register(id, "teacher", 0);
        let answer = app.get(&paths(id)[1]).await;
        assert_eq!(answer.json()["batch_id"], id);
    }
}

#[tokio::test]
async fn user_named_status_and_batch_named_user_are_both_reachable() {
    let app = App::new();
    app.repository.register("user", "status", 0);
    let list = app.get("/internal/v1/batches/user/status").await;
    assert_eq!(list.json()["batches"][0]["batch_id"], "user");
    let status = app.get("/internal/v1/batches/%75ser/status").await;
    assert_eq!(status.json()["batch_id"], "user");
}

#[tokio::test]
async fn invalid_id_is_refused() {
    let app = App::new();
    let too_long = "x".repeat(256);
    let too_long_in_bytes = escape(&"ü".repeat(128));
    for (segment, want) in [
        ("", "not empty"),
        (&*too_long, "this one has 256"),
        (&*too_long_in_bytes, "this one has 256"),
        ("a%00", "control characters"),
        ("a%0Ab", "control characters"),
        ("%7F", "control characters"),
        ("%C2%85", "control characters"),
        ("%FF", "UTF-8"),
        ("%C3%28", "UTF-8"),
        ("%ED%A0%80", "UTF-8"),
    ] {
        for (path, name) in paths(segment).iter().zip(["user_id", "batch_id"]) {
            let answer = app.get(path).await;
            let detail = answer.assert_problem(400, "invalid_parameter", "Invalid parameter");
            assert!(detail.starts_with(name) && detail.contains(want), "{path}: {detail}");
        }
    }
    assert!(app.repository.asked().is_empty());
}
