use super::*;

fn http(status: u16) -> Error {
    Error::Http(HttpError::new(status, b""))
}

/// An envelope with this code in an HTTP response with this status.
fn api(code: i64, status: u16) -> Error {
    Error::Api(ApiError::new(
        ErrorCode(code),
        String::new(),
        None,
        Some(status),
    ))
}

#[test]
fn status_and_code_decide_whether_an_error_is_transient_and_may_have_taken_effect() {
    const TRANSIENT: bool = true;
    const PERMANENT: bool = false;
    const MAY_EXIST: bool = true;
    const NO_EFFECT: bool = false;
    for (error, transient, effect) in [
        // A gateway's page. These statuses say that the request was not processed.
        (http(408), TRANSIENT, NO_EFFECT),
        (http(421), TRANSIENT, NO_EFFECT),
        (http(425), TRANSIENT, NO_EFFECT),
        (http(429), TRANSIENT, NO_EFFECT),
        (http(503), TRANSIENT, NO_EFFECT),
        (http(501), TRANSIENT, NO_EFFECT),
        (http(505), TRANSIENT, NO_EFFECT),
        (http(500), TRANSIENT, MAY_EXIST),
        (http(502), TRANSIENT, MAY_EXIST),
        (http(504), TRANSIENT, MAY_EXIST),
        (http(599), TRANSIENT, MAY_EXIST),
        (http(302), PERMANENT, NO_EFFECT),
        (http(400), PERMANENT, NO_EFFECT),
        (http(401), PERMANENT, NO_EFFECT),
        (http(403), PERMANENT, NO_EFFECT),
        (http(404), PERMANENT, NO_EFFECT),
        (http(407), PERMANENT, NO_EFFECT),
        (http(600), PERMANENT, NO_EFFECT),
        // The service's envelope.
        (api(1, 200), PERMANENT, NO_EFFECT),
        (api(1, 500), PERMANENT, NO_EFFECT),
        (api(1, 503), PERMANENT, NO_EFFECT),
        (api(1, 502), PERMANENT, MAY_EXIST),
        (api(1, 504), PERMANENT, MAY_EXIST),
        (api(1, 407), PERMANENT, NO_EFFECT),
        // 429 and its like: the status decides, whatever the code.
        (api(1, 429), TRANSIENT, NO_EFFECT),
        (api(1, 408), TRANSIENT, NO_EFFECT),
        (api(1, 421), TRANSIENT, NO_EFFECT),
        (api(1, 425), TRANSIENT, NO_EFFECT),
        (api(0, 404), PERMANENT, MAY_EXIST),
        (api(0, 429), TRANSIENT, MAY_EXIST),
        (api(0, 502), TRANSIENT, MAY_EXIST),
        (api(0, 503), TRANSIENT, MAY_EXIST),
        (api(0, 401), PERMANENT, MAY_EXIST),
        // A load balancer that writes its status into `code`.
        (api(408, 200), TRANSIENT, NO_EFFECT),
        (api(421, 200), TRANSIENT, NO_EFFECT),
        (api(425, 200), TRANSIENT, NO_EFFECT),
        (api(429, 200), TRANSIENT, NO_EFFECT),
        (api(429, 502), TRANSIENT, MAY_EXIST),
        (api(502, 200), TRANSIENT, MAY_EXIST),
        (api(503, 200), TRANSIENT, NO_EFFECT),
        (api(503, 401), PERMANENT, NO_EFFECT),
        (api(401, 200), PERMANENT, NO_EFFECT),
        (api(403, 429), PERMANENT, NO_EFFECT),
        (api(407, 200), PERMANENT, NO_EFFECT),
        (api(600, 200), PERMANENT, NO_EFFECT),
    ] {
        assert_eq!(
            (error.is_transient(), error.may_have_taken_effect()),
            (transient, effect),
            "{error:?}"
        );
        for not_sent in [error.clone().mark_not_sent(), error.of_token_request()] {
            assert!(!not_sent.may_have_taken_effect(), "{not_sent:?}");
        }
    }
}

#[test]
fn error_of_a_token_request_stays_one() {
    let advice = "no access token was issued, check the client id and secret";
    for code in [1, 401, 7] {
        let error = api(code, 200).of_token_request();
        assert!(error.is_unauthorized(), "{error}");
        assert!(error.to_string().contains(advice), "{error}");
        assert!(error.mark_not_sent().to_string().contains(advice));
    }
    // No credentials would help against these.
    for (code, status) in [(1, 429), (1, 403), (503, 200)] {
        let error = api(code, status).of_token_request();
        assert!(!error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn text_names_what_the_predicates_say() {
    const BAN: &str = "this IP address is banned, stop and ask the service";
    const LIMIT: &str = "too many requests, wait and try again";
    const TOKEN: &str = "the access token is invalid, expired or replaced, get a new one";
    for (error, advice) in [
        (api(403, 200), BAN),
        (api(1, 403), BAN),
        (api(5113, 403), BAN),
        (api(401, 403), BAN),
        (api(403, 401), BAN),
        (api(0, 403), BAN),
        (api(403, 429), BAN),
        (api(1, 401), TOKEN),
        (api(429, 401), TOKEN),
        (api(401, 429), TOKEN),
        (api(1, 429), LIMIT),
        (api(0, 429), LIMIT),
        (api(429, 502), LIMIT),
        (
            api(1, 500),
            "the request was rejected, check the task id or URL that was sent",
        ),
        (
            api(408, 200),
            "the service or a gateway before it failed, try again later",
        ),
    ] {
        let text = error.to_string();
        assert!(text.contains(&format!(": {advice}")), "{text}");
        assert_eq!(error.is_banned(), advice == BAN, "{text}");
    }
}
