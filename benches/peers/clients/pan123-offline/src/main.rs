use call::{TASK, USER_AGENT};
use pan123_offline::Client;

fn main() {
    call::run(|target| {
        let builder = Client::builder()
            .access_token(call::token())
            .user_agent(USER_AGENT)
            .base_url(&target.base);
        #[cfg(feature = "tls")]
        let builder = trust(builder, &target);
        let client = builder.build().unwrap();
        move || client.get_process(TASK).unwrap().percent
    });
}

#[cfg(feature = "tls")]
fn trust(
    builder: pan123_offline::ClientBuilder,
    target: &call::Target,
) -> pan123_offline::ClientBuilder {
    use pan123_offline::ureq::tls::{Certificate, RootCerts, TlsConfig};

    let Some(pem) = target.pem() else {
        return builder;
    };
    let root = Certificate::from_pem(&pem).unwrap();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .build();
    builder.configure_agent(|agent| agent.tls_config(tls))
}
