use std::time::Duration;

use super::limiter::Limiter;
use super::*;
use crate::error::HttpError;
use crate::testing::Service;
use crate::transport::{BaseUrl, TransportSettings};

struct Fixture {
    service: Service,
    transport: Transport,
    auth: Auth,
}

impl Fixture {
    fn new(credentials: Credentials) -> Self {
        let service = Service::start().unwrap();
        let settings = TransportSettings {
            base_url: BaseUrl::parse(&service.base_url()).unwrap(),
            user_agent: "test".into(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            proxy: None,
            max_token_len: 100,
        };
        let transport = Transport::new(settings, |config| config).unwrap();
        Self {
            service,
            auth: Auth::with_credentials(credentials, &transport),
            transport,
        }
    }

    fn token(&self) -> Result<Arc<Token>> {
        self.auth.token(&self.transport, self.deadline())
    }

    fn replace(&self, refused: &Token) -> Result<Arc<Token>> {
        let error = Error::Http(HttpError::new(401, b""));
        self.auth
            .replace(&self.transport, refused, &error, self.deadline())
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(30)
    }
}

#[test]
fn an_accepted_token_is_replaced_as_soon_as_the_limiter_allows() {
    let fixture = Fixture::new(Credentials::new("id", "secret"));
    let first = fixture.token().unwrap();
    let second = fixture.replace(&first).unwrap();
    let error = fixture.replace(&second).unwrap_err();
    assert!(error.is_unauthorized() && !error.is_transient());

    second.mark_accepted();
    let minute = Duration::from_secs(60);
    for error in [fixture.replace(&second), fixture.token()] {
        let error = error.unwrap_err();
        assert!(error.is_unauthorized() && error.is_transient());
        assert!(error.retry_after().is_some_and(|delay| delay <= minute));
    }
    assert_eq!(fixture.service.tokens_issued(), 2);

    // A minute later.
    fixture.auth.lock().limiter = Limiter::default();
    let third = fixture.token().unwrap();
    for refused in [first, second] {
        assert_ne!(third.access_token(), refused.access_token());
        let current = fixture.replace(&refused).unwrap();
        assert_eq!(
            current.access_token(),
            third.access_token(),
            "a late refusal"
        );
    }
}

/// Another process may store it again, and a file that cannot be replaced keeps it.
#[test]
fn no_refused_token_is_taken_from_the_cache() {
    let path = std::env::temp_dir().join(format!("pan123-offline-refused-{}", std::process::id()));
    let fixture = Fixture::new(Credentials::new("id", "secret").cache_file(&path));
    let cache = fixture.auth.login.as_ref().unwrap().cache.as_ref().unwrap();
    cache.write(&AccessToken::from("stale")).unwrap();
    let stale = fixture.token().unwrap();
    assert_eq!(stale.access_token().secret(), "stale");

    let new = fixture.replace(&stale).unwrap();
    cache.write(stale.access_token()).unwrap();
    assert!(fixture.replace(&new).is_err());
    assert!(fixture.token().is_err());
    assert_eq!(fixture.service.tokens_issued(), 1);
    std::fs::remove_file(&path).unwrap();
    let _ = std::fs::remove_file(path.with_extension("lock"));
}
