#!/usr/bin/env Rscript
# glmnet's logistic path over the columns that grouped.lua has written: CPU seconds and the objective at each lambda.
# usage: logistic_glmnet.R FOLDER ROWS COLUMNS THRESH   (FOLDER: start, index, value, label, lambda; start is empty: dense)
suppressMessages(library(glmnet))
arguments <- commandArgs(TRUE)
folder <- arguments[1]
n <- as.integer(arguments[2])
p <- as.integer(arguments[3])
read <- function(name, what, bytes) {
  path <- file.path(folder, name)
  readBin(path, what, file.info(path)$size / bytes, size = bytes)
}
start <- read("start", "integer", 4)
value <- read("value", "double", 8)
x <- if (length(start)) sparseMatrix(i = read("index", "integer", 4), p = start, x = value, dims = c(n, p), index1 = FALSE) else
  matrix(value, n, p)
y <- read("label", "double", 8)
lambda <- read("lambda", "double", 8)
glmnet.control(fdev = 0, devmax = 1)
best <- Inf
for (run in 1:2) {
  before <- proc.time()
  model <- glmnet(x, (y > 0) + 0, family = "binomial", lambda = lambda / n, thresh = as.numeric(arguments[4]),
                  maxit = 1e7)
  best <- min(best, sum((proc.time() - before)[1:2]))
}
scale <- sqrt(pmax(0, colMeans(x^2) - colMeans(x)^2))
margin <- y * as.matrix(cbind(1, x) %*% coef(model))
objective <- colSums(pmax(-margin, 0) + log1p(exp(-abs(margin)))) +
  lambda[seq_len(ncol(margin))] * colSums(abs(as.matrix(model$beta)) * scale)
cat(sprintf("seconds %.17g\n", best), sprintf("%.17g\n", objective), sep = "")
