--- The LDA sampler on a real corpus: log-likelihood per token and CPU seconds.
--
--     luajit spec/bench/lda_kernel.lua docword.txt.gz [topics] [sweeps] [start] [seed]
--
-- `docword` is the UCI format (documents, words, pairs; then `document word count` lines counted from 1), plain or
-- gzipped. alpha = 50 / topics and beta = 0.01. start: sequential (default) or random.

package.path = "./lua/?.lua;./lua/?/init.lua;" .. package.path
package.cpath = "./build/?.so;" .. package.cpath

local ffi = require "ffi"
local core = require "epact.core"
local C = core.C

local path, topics, sweeps, start, seed = arg[1], tonumber(arg[2] or 100), tonumber(arg[3] or 200),
  arg[4] or "sequential", tonumber(arg[5] or 1)
if not path then
  io.stderr:write "usage: lda_kernel.lua docword.txt.gz [topics] [sweeps] [sequential|random] [seed]\n"
  os.exit(1)
end

--- The pairs of a UCI file, sorted by document, as an options struct and the arrays it points to.
local function read_docword(name)
  local file = assert(io.popen(("gzip -cdf '%s'"):format(name)))
  local documents, words, pairs_count = file:read("*n", "*n", "*n")
  local first = ffi.new("int64_t[?]", documents + 1)
  local word, count = ffi.new("uint32_t[?]", pairs_count), ffi.new("uint32_t[?]", pairs_count)
  for i = 0, pairs_count - 1 do
    local document
    document, word[i], count[i] = file:read("*n", "*n", "*n")
    word[i] = word[i] - 1
    first[document] = first[document] + 1
  end
  file:close()
  for d = 0, documents - 1 do first[d + 1] = first[d + 1] + first[d] end
  return ffi.new("epact_lda_options", {
    documents = documents, start = first, word = word, count = count, words = words, topics = topics,
    alpha = 50 / topics, beta = 0.01, seed = seed,
  }), { first, word, count }
end

local options, arrays = read_docword(path)
local lda = core.own(C.epact_lda_new(options))
local documents, tokens = tonumber(options.documents), tonumber(C.epact_lda_tokens(lda))
print(("%s: %d documents, %d words, %d tokens; %d topics, %s start, seed %d"):format(
  path:match "[^/]*$", documents, tonumber(options.words), tokens, topics, start, seed))
print(("%.2f bytes of state per token"):format(C.epact_lda_state_bytes(lda) / tokens))
assert(#arrays == 3)

local function log_likelihood()
  return (C.epact_lda_log_likelihood_words(lda) + C.epact_lda_log_likelihood_documents(lda)) / tokens
end

local report = { [1] = true, [2] = true, [5] = true, [10] = true, [20] = true, [50] = true, [100] = true, [200] = true }
local spent = 0
if start == "random" then
  local before = C.epact_thread_cpu()
  core.check(C.epact_lda_start(lda, 0, documents))
  spent = C.epact_thread_cpu() - before
end
for sweep = 0, sweeps - 1 do
  local before = C.epact_thread_cpu()
  core.check(C.epact_lda_sweep(lda, 0, documents, sweep))
  local took = C.epact_thread_cpu() - before
  spent = spent + took
  if report[sweep + 1] or sweep == sweeps - 1 then
    print(("sweep %4d: log p(w,z) %.4f nats/token, %6.2f s CPU, last sweep %.1f ms, %.1f Mtokens/s"):format(
      sweep + 1, log_likelihood(), spent, took * 1e3, tokens / took / 1e6))
  end
end
local before = C.epact_thread_cpu()
log_likelihood()
print(("one log-likelihood: %.1f ms"):format((C.epact_thread_cpu() - before) * 1e3))
core.check(C.epact_lda_check(lda))
