# Expressions of genes in acute lymphoblastic leukaemia, from the Debian package r-bioc-all (Bioconductor's ALL): the
# 1,000 genes that vary most. Run from the root of the project: Rscript examples/data/make-leukemia.R
suppressPackageStartupMessages({library(Biobase); library(ALL)})
data(ALL)
x <- t(exprs(ALL))
x <- x[, order(-apply(x, 2, var))[1:1000]]
cell <- as.integer(substr(as.character(ALL$BT), 1, 1) == "B")
file <- gzfile("examples/data/leukemia.csv.gz", "w", compression = 9)
writeLines(paste(c("B", colnames(x)), collapse = ","), file)
for (i in seq_len(nrow(x))) writeLines(paste(c(cell[i], sprintf("%.2f", x[i, ])), collapse = ","), file)
close(file)
