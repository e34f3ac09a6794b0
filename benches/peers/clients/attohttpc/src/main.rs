use attohttpc::Session;
use call::Envelope;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fn main() {
    call::run(|target| {
        let mut session = Session::new();
        for (name, value) in call::headers() {
            session.header(name, value);
        }
        if let Some(pem) = target.pem() {
            session.add_root_certificate(CertificateDer::from_pem_slice(&pem).unwrap());
        }
        move || {
            let response = session.get(target.url()).send().unwrap();
            response.json::<Envelope>().unwrap().percent()
        }
    });
}
