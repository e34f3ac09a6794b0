use super::*;

fn http(status: u16) -> Error {
    Error::Http(HttpError::new(status, b""))
}

/// An envelope with this code in an HTTP response with this status.
fn api(code: i64, status: u16) -> Error {
    let code = ErrorCode(code);
    Error::Api(ApiError::new(code, String::new(), None, Some(status)))
}

#[test]
fn status_and_code_decide_whether_an_error_is_transient_and_may_have_taken_effect() {
    const TRANSIENT: bool = true;
    const PERMANENT: bool = false;
    const MAY_EXIST: bool = true;
    const NO_EFFECT: bool = false;
    for (transient, effect, code, statuses) in [
        // A gateway's page. These statuses say that the request was not processed.
        (TRANSIENT, NO_EFFECT, None, &[408, 421, 425, 429][..]),
        (TRANSIENT, NO_EFFECT, None, &[501, 503, 505]),
        (TRANSIENT, MAY_EXIST, None, &[500, 502, 504, 599]),
        (PERMANENT, NO_EFFECT, None, &[302, 400, 401, 403]),
        (PERMANENT, NO_EFFECT, None, &[404, 407, 600]),
        // The service's envelope. 429 and its like: the status decides, whatever the code.
        (TRANSIENT, NO_EFFECT, Some(1), &[408, 421, 425, 429]),
        (PERMANENT, MAY_EXIST, Some(1), &[502, 504]),
        (PERMANENT, NO_EFFECT, Some(1), &[200, 407, 500, 503]),
        (TRANSIENT, MAY_EXIST, Some(0), &[429, 502, 503]),
        (PERMANENT, MAY_EXIST, Some(0), &[401, 404]),
        // A load balancer that writes its status into `code`.
        (TRANSIENT, NO_EFFECT, Some(408), &[200]),
        (TRANSIENT, NO_EFFECT, Some(421), &[200]),
        (TRANSIENT, NO_EFFECT, Some(425), &[200]),
        (TRANSIENT, NO_EFFECT, Some(429), &[200]),
        (TRANSIENT, MAY_EXIST, Some(429), &[502]),
        (TRANSIENT, MAY_EXIST, Some(502), &[200]),
        (TRANSIENT, NO_EFFECT, Some(503), &[200]),
        (PERMANENT, NO_EFFECT, Some(503), &[401]),
        (PERMANENT, NO_EFFECT, Some(401), &[200]),
        (PERMANENT, NO_EFFECT, Some(403), &[429]),
        (PERMANENT, NO_EFFECT, Some(407), &[200]),
        (PERMANENT, NO_EFFECT, Some(600), &[200]),
    ] {
        for status in statuses {
            let error = code.map_or_else(|| http(*status), |code| api(code, *status));
            assert_eq!(error.is_transient(), transient, "{error:?}");
            assert_eq!(error.may_have_taken_effect(), effect, "{error:?}");
            for not_sent in [error.clone().mark_not_sent(), error.of_token_request()] {
                assert!(!not_sent.may_have_taken_effect(), "{not_sent:?}");
            }
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
        assert!(!error.is_unauthorized(), "{error}");
        assert!(!error.to_string().contains(advice), "{error}");
    }
}

#[test]
fn text_names_what_the_predicates_say() {
    const BAN: &str = "this IP address is banned, stop and ask the service";
    const LIMIT: &str = "too many requests, wait and try again";
    const TOKEN: &str = "the access token is invalid, expired or replaced, get a new one";
    const REJECTED: &str = "the request was rejected, check the task id or URL that was sent";
    const LATER: &str = "the service or a gateway before it failed, try again later";
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
        (api(1, 500), REJECTED),
        (api(408, 200), LATER),
    ] {
        let text = error.to_string();
        assert!(text.contains(&format!(": {advice}")), "{text}");
        assert_eq!(error.is_banned(), advice == BAN, "{text}");
    }
}
