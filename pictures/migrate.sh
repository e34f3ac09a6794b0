# A session for `pictures/record`: a migration that is interrupted by Ctrl-C, and continued.
for i in $(seq 60); do echo "https://example.org/images/$i.png"; done >urls.txt
coproc stand_in { exec "$(dirname "$(command -v pan123-offline)")/examples/service"; }
read -r PAN123_BASE_URL <&"${stand_in[0]}"
export PAN123_BASE_URL=${PAN123_BASE_URL:?} PAN123_ACCESS_TOKEN=any

migrate() {
    echo "\$ pan123-offline migrate urls.txt"
    timeout --foreground --signal INT "$1" pan123-offline migrate --create-rate 20 --rate 40 urls.txt
}
migrate 2.5
sleep 1.5
echo
migrate 60
echo "\$ pan123-offline status urls.txt"
pan123-offline status urls.txt
sleep 3
eval "exec ${stand_in[1]}>&-"
