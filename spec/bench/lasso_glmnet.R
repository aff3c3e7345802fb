# glmnet's side of lasso.lua: Rscript lasso_glmnet.R FOLDER SHARE. One penalty, l1 = SHARE of lambda_max, at falling
# `thresh` until the duality gap, computed here, is 1e-6 of ||y||^2 / 2, or no further; prints CPU seconds and that gap.
suppressMessages(library(glmnet))
words <- commandArgs(TRUE)
folder <- words[1]
share <- as.numeric(words[2])
number <- function(name, what, size) {
  path <- file.path(folder, name)
  readBin(path, what, file.size(path) / size, size)
}
y <- number("y", "double", 8)
n <- length(y)
if (file.exists(file.path(folder, "dense"))) {
  x <- matrix(number("dense", "double", 8), nrow = n)
} else {
  start <- as.integer(matrix(number("start", "integer", 4), nrow = 2)[1, ])
  x <- new("dgCMatrix", i = number("index", "integer", 4), p = start, x = number("value", "double", 8),
           Dim = c(n, length(start) - 1L))
}
l1 <- share * max(abs(crossprod(x, y)))
for (thresh in c(1e-7, 1e-9, 1e-11, 1e-13)) {
  seconds <- Inf
  for (run in 1:2) {
    gc(FALSE)
    begin <- proc.time()
    model <- glmnet(x, y, lambda = l1 / n, standardize = FALSE, intercept = FALSE, thresh = thresh, maxit = 1e6)
    seconds <- min(seconds, sum((proc.time() - begin)[1:2]))
    if (seconds > 1) break
  }
  b <- as.numeric(coef(model))[-1]
  r <- as.numeric(y - x %*% b)
  a <- min(1, l1 / max(abs(crossprod(x, r))))
  gap <- (sum(r^2) / 2 + l1 * sum(abs(b)) + a^2 / 2 * sum(r^2) - a * sum(y * r)) / (sum(y^2) / 2)
  if (gap <= 1e-6 || seconds > 20) break
}
cat("seconds", seconds, "\n")
cat("gap", max(gap, 0), "\n")
