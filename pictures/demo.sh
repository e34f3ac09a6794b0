# A session for `pictures/record`.
echo '$ pan123-offline demo'
pan123-offline demo
sleep 2
