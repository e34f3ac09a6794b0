use call::Envelope;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

fn main() {
    call::run(|target| {
        let mut config = Agent::config_builder();
        if let Some(pem) = target.pem() {
            let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&pem).unwrap()]);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        let (agent, headers): (Agent, _) = (config.build().into(), call::headers());
        move || {
            let request = headers
                .iter()
                .fold(agent.get(target.url()), |request, (name, value)| {
                    request.header(*name, value)
                });
            let mut response = request.call().unwrap();
            response
                .body_mut()
                .read_json::<Envelope>()
                .unwrap()
                .percent()
        }
    });
}
