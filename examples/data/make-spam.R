# Regenerates spam.csv.gz from the data set spam of the R package kernlab (Debian: r-cran-kernlab), which is UCI's
# Spambase: the columns have their names there, the first says whether it is spam; the mails keep their order.
# Usage: Rscript examples/data/make-spam.R [DIRECTORY], from the root of the project.
suppressPackageStartupMessages(library(kernlab))
data(spam)
stopifnot(nrow(spam) == 4601, ncol(spam) == 58)

measured <- names(spam)[1:57]
names <- sub("^num", "", measured)
names[1:48] <- paste0("word_freq_", names[1:48])
names[49:54] <- paste0("char_freq_", c(";", "(", "[", "!", "$", "#"))
names[55:57] <- paste0("capital_run_length_", c("average", "longest", "total"))

output <- c(commandArgs(trailingOnly = TRUE), "examples/data")[1]
file <- gzfile(file.path(output, "spam.csv.gz"), "w", compression = 9)
writeLines(paste(c("spam", names), collapse = ","), file)
write.table(cbind(as.integer(spam$type == "spam"), spam[, measured]), file, sep = ",", row.names = FALSE,
            col.names = FALSE, quote = FALSE)
close(file)
