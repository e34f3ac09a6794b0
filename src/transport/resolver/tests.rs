use super::*;

#[test]
fn finds_host_and_port() {
    for (uri, expected) in [
        ("https://example.com/a", ("example.com", 443)),
        ("http://example.com", ("example.com", 80)),
        ("https://example.com:8443/", ("example.com", 8443)),
        ("http://[::1]:80/", ("::1", 80)),
    ] {
        assert_eq!(
            host_and_port(&uri.parse().unwrap()).unwrap(),
            expected,
            "{uri}"
        );
    }
    assert!(host_and_port(&Uri::from_static("/path")).is_err());
}

#[test]
fn keeps_a_few_names() {
    let cache = Arc::new(Cache::default());
    for port in 1..=10 {
        cache
            .start_lookup(&mut cache.lock(), "127.0.0.1", port)
            .unwrap();
    }
    let ports: Vec<u16> = cache.lock().iter().map(|entry| entry.port).collect();
    assert_eq!(ports, [7, 8, 9, 10]);
}

/// The states of an entry, without a lookup.
#[test]
fn uses_addresses_until_they_expire() {
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    let cache = Arc::new(Cache::default());
    let expires = |expires| {
        let (host, lookup) = ("example.com".to_owned(), Lookup::Succeeded);
        *cache.lock() = vec![Entry {
            host,
            port: 443,
            addresses: Arc::from([address]),
            expires,
            lookup,
        }];
        cache.valid_addresses("example.com", 443)
    };
    let now = Instant::now();
    assert_eq!(expires(Some(now + MAX_AGE)), Some(Arc::from([address])));
    assert_eq!(expires(Some(now)), None);
    assert_eq!(expires(None), None);
    assert_eq!(cache.valid_addresses("example.com", 80), None);
    assert_eq!(cache.valid_addresses("example.org", 443), None);
}
