# SPDX-License-Identifier: MIT
# soak.svg of plot.dat, in the folder where soak.py left both; red: faults in
# which known hosts may fail, blue: those in which none may.
set terminal svg size 1100,1000 font "sans,11" background rgb "white"
set output "soak.svg"
set multiplot layout 4,1 title title
load "faults.gp"
set lmargin 10
set rmargin 3
set grid y
set xrange [0:last]

load "names.gp"
set key bottom right
set ylabel "MiB"
plot "plot.dat" using 1:2 with lines lw 1.5 lc rgb "#1f5fa8" title "memory of the agent (RSS)"
unset label
set key top left horizontal

set ylabel "count"
set yrange [0:*]
plot "plot.dat" using 1:3 with lines lw 1.5 lc rgb "#1f5fa8" title "descriptors", \
     "" using 1:5 with lines lc rgb "#c05000" title "flights", \
     "" using 1:6 with lines lc rgb "#308030" title "waiting"

set ylabel "ms"
set yrange [*:*]
set logscale y
plot "plot.dat" using 1:9 with lines lc rgb "#c05000" title "latency p99", \
     "" using 1:8 with lines lw 1.5 lc rgb "#1f5fa8" title "p50"
unset logscale y

set ylabel "requests/s"
set yrange [0:*]
set xlabel "seconds"
plot "plot.dat" using 1:7 with lines lc rgb "#999999" title "all", \
     "" using 1:13 with lines lw 1.5 lc rgb "#c00000" title "503", \
     "" using 1:12 with lines lw 1.5 lc rgb "#c05000" title "502", \
     "" using 1:($14+$15+$16) with lines lw 1.5 lc rgb "#802080" title "broken, late, other"
unset multiplot
