# Regenerates insteval.tr.txt.gz and insteval.te.txt.gz from the data set InstEval of the R package lme4 (Debian:
# r-cran-lme4): every tenth rating, drawn at random, is for testing. The draw is recorded in the shipped files: their
# pairs and order are kept, the ratings come from the package. Without those files, a new draw is made.
# Usage: Rscript examples/data/make-insteval.R [DIRECTORY], from the root of the project.
suppressPackageStartupMessages(library(lme4))
ratings <- with(InstEval, data.frame(user = as.integer(s) - 1L, item = as.integer(d) - 1L, value = as.integer(y)))
pair <- function(x) x[[1]] * 10000 + x[[2]]

here <- "examples/data"
shipped <- file.path(here, c("insteval.te.txt.gz", "insteval.tr.txt.gz"))
if (all(file.exists(shipped))) {
  order <- lapply(shipped, function(name) match(pair(read.table(name)), pair(ratings)))
} else {
  set.seed(20240601)
  shuffled <- sample(nrow(ratings))
  test <- seq_len(nrow(ratings) %/% 10)
  order <- list(shuffled[test], shuffled[-test])
}
stopifnot(identical(sort(unlist(order)), seq_len(nrow(ratings))))

output <- c(commandArgs(trailingOnly = TRUE), here)[1]
for (k in 1:2) {
  file <- gzfile(file.path(output, basename(shipped[k])), "w")
  write.table(ratings[order[[k]], ], file, row.names = FALSE, col.names = FALSE)
  close(file)
}
