#![no_main]

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    pan123_offline_fuzz::progress(body);
});
