#![no_main]

use std::sync::LazyLock;

use pan123_offline_fuzz::TokenCache;

static TOKEN_CACHE: LazyLock<TokenCache> = LazyLock::new(TokenCache::new);

libfuzzer_sys::fuzz_target!(|file: &[u8]| {
    TOKEN_CACHE.check(file);
});
