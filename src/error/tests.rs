use super::*;

pub(crate) fn http(status: u16) -> Error {
    Error::Http(HttpError::new(status, b""))
}

/// An envelope with this code in an HTTP response with this status.
pub(crate) fn api(code: i64, status: u16) -> Error {
    let code = ErrorCode(code);
    Error::Api(ApiError::new(code, String::new(), None, Some(status)))
}

#[test]
fn status_and_code_decide_whether_an_error_is_transient_and_may_have_taken_effect() {
    const TRANSIENT: bool = true;
    const PERMANENT: bool = false;
    const MAY_EXIST: bool = true;
    const NO_EFFECT: bool = false;
    // A gateway's page has no code.
    const PAGE: &[i64] = &[];
    const NOT_PROCESSED: &[u16] = &[408, 421, 425, 429, 501, 503, 505];
    const REFUSED: &[u16] = &[302, 400, 401, 403, 404, 407, 600];
    for (transient, effect, codes, statuses) in [
        (TRANSIENT, NO_EFFECT, PAGE, NOT_PROCESSED),
        (TRANSIENT, MAY_EXIST, PAGE, &[500, 502, 504, 599]),
        (PERMANENT, NO_EFFECT, PAGE, REFUSED),
        // The service's envelope. 429 and its like: the status decides, whatever the code.
        (TRANSIENT, NO_EFFECT, &[1], &[408, 421, 425, 429]),
        (PERMANENT, MAY_EXIST, &[1], &[502, 504]),
        (PERMANENT, NO_EFFECT, &[1], &[200, 407, 500, 503]),
        (TRANSIENT, MAY_EXIST, &[0], &[429, 502, 503]),
        (PERMANENT, MAY_EXIST, &[0], &[401, 404]),
        // A load balancer that writes its status into `code`.
        (TRANSIENT, NO_EFFECT, &[408, 421, 425, 429, 503], &[200]),
        (TRANSIENT, MAY_EXIST, &[502], &[200]),
        (TRANSIENT, MAY_EXIST, &[429], &[502]),
        (PERMANENT, NO_EFFECT, &[401, 407, 600], &[200]),
        (PERMANENT, NO_EFFECT, &[403], &[429]),
        (PERMANENT, NO_EFFECT, &[503], &[401]),
    ] {
        for status in statuses {
            let page = codes.is_empty().then(|| http(*status));
            let envelopes = codes.iter().map(|code| api(*code, *status));
            for error in envelopes.chain(page) {
                assert_eq!(error.is_transient(), transient, "{error:?}");
                assert_eq!(error.may_have_taken_effect(), effect, "{error:?}");
                for not_sent in [error.clone().mark_not_sent(), error.of_token_request()] {
                    assert!(!not_sent.may_have_taken_effect(), "{not_sent:?}");
                }
            }
        }
    }
}

#[test]
fn text_names_what_the_predicates_say() {
    const BAN: &str = "this IP address is banned, stop and ask the service";
    const LIMIT: &str = "too many requests, wait and try again";
    const TOKEN: &str = "the access token is invalid, expired or replaced, get a new one";
    const REJECTED: &str = "the request was rejected, check the task id or URL that was sent";
    const LATER: &str = "the service or a gateway before it failed, try again later";
    const LOGIN: &str = "no access token was issued, check the client id and secret";
    let login = |code, status| api(code, status).of_token_request().mark_not_sent();
    for (error, advice) in [
        (api(403, 200), BAN),
        (api(1, 403), BAN),
        (api(401, 403), BAN),
        (api(403, 401), BAN),
        (api(0, 403), BAN),
        (api(1, 401), TOKEN),
        (api(429, 401), TOKEN),
        (api(401, 429), TOKEN),
        (api(1, 429), LIMIT),
        (api(429, 502), LIMIT),
        (api(1, 500), REJECTED),
        (api(408, 200), LATER),
        (login(1, 200), LOGIN),
        (login(401, 200), LOGIN),
        (login(7, 200), LOGIN),
        // No credentials would help against these.
        (login(1, 429), LIMIT),
        (login(1, 403), BAN),
        (login(503, 200), LATER),
    ] {
        let text = error.to_string();
        assert!(text.contains(&format!(": {advice}")), "{text}");
        assert_eq!(error.is_banned(), advice == BAN, "{text}");
        let is_refused = advice == LOGIN || error.has_status(ErrorCode::UNAUTHORIZED);
        assert_eq!(error.is_unauthorized(), is_refused, "{text}");
    }
}
