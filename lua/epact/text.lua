--- Your own text as a corpus: a document a line.
-- @module epact.text
-- @usage local corpus, vocab = epact.text.corpus("letters.txt", { min_documents = 5 })

local ffi = require "ffi"
local core = require "epact.core"
local data = require "epact.data"
local object = require "epact.data.object"
local options = require "epact.options"
local C = core.C

local text = {}

--- English function words: pronouns, articles, prepositions, conjunctions, auxiliaries, and what an apostrophe leaves.
text.english = [[
a about above across after again against all almost along already also although always am among an and another any
anyone anything are aren around as at away back be became because become been before behind being below between both
but by can cannot could couldn did didn do does doesn doing don done down during each either else enough even ever
every everyone everything few first for from further get gets give given go goes got had hadn has hasn have haven having
he her here hers herself him himself his how however i if in indeed instead into is isn it its itself just last least
less let like ll made make makes many may me might mine more most much must mustn my myself near neither never next no
nobody none nor not nothing now of off often on once one only onto or other others our ours ourselves out over own per
perhaps put quite rather re really said same say says see seem seemed seems several shall shan she should shouldn since
so some someone something sometimes still such take than that the their theirs them themselves then there therefore
these they thing things this those though three through thus to together too toward towards two under until up upon us
use used ve very was wasn way we well were weren what whatever when where whether which while who whole whom whose why
will with within without won would wouldn yet you your yours yourself yourselves
]]

local function stop_words(source)
  if source == false then return nil end
  if source == "english" then return text.english end
  local file, reason = io.open(source, "r")
  local words = file and file:read "*a"
  if file then file:close() end
  if not words then core.fail("text.corpus: cannot read the stop words in %s [E_IO]", reason or source) end
  return words
end

--- Reads plain text (or gzip), a document a line, and counts its words.
--
-- A word is a run of letters; ASCII letters are lower-cased, other UTF-8 letters kept as they are. Words shorter than
-- `min_length` or longer than 64 characters, stop words, words of fewer than `min_documents` documents and words of
-- more than the share `max_share` of the documents are dropped. An empty line is a document without words.
-- @tparam string path
-- @tparam ?table given `min_documents` (2), `max_share` (0.5), `min_length` (3), `stop_words` ("english", the path of a
-- file of words, or false)
-- @treturn epact_corpus
-- @treturn table word by id, from 0, in byte order
function text.corpus(path, given)
  options.argument("text.corpus", "path", "string", path)
  local read = options.read("text.corpus", given, {
    min_documents = { "count", 2 }, max_share = { "fraction", 0.5 }, min_length = { "count", 3 },
    stop_words = { "any", "english" },
  })
  if read.stop_words ~= false and type(read.stop_words) ~= "string" then
    core.fail("text.corpus: option 'stop_words' must be \"english\", a path or false, got %s",
      options.show(read.stop_words))
  end
  local words = stop_words(read.stop_words)
  local rule = ffi.new("epact_text_options", {
    min_documents = read.min_documents, max_share = read.max_share, min_length = read.min_length, stop_words = words,
  })
  local corpus, vocabulary = ffi.new "epact_corpus *[1]", ffi.new "epact_vocabulary *[1]"
  core.check(C.epact_text_read(path, rule, corpus, vocabulary), "text.corpus")
  return object.wrap("corpus", corpus[0]), data.to_list(vocabulary[0])
end

return text
