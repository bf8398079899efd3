# Every clause of the plugin contract, then two pictures of which it is known which is brighter.
set -e
"$THALWEG" plugins --validate ./brightness.so
"$THALWEG" reward try reward.json pictures/black.png pictures/white.png | tee scores.txt
awk '$1 ~ /black.png$/ {black = $2} $1 ~ /white.png$/ {white = $2} END {exit !(black + 0 < white + 0)}' scores.txt ||
  { echo "white is to score more than black" >&2; exit 1; }
