/* The exact collapsed joint log-likelihood of lda.h, in two halves (lG = log Gamma):
 *
 *   words      sum_k [ lG(V b) - lG(V b + n_k) ]  + sum_{w,k: n_wk>0} [ lG(b + n_wk) - lG(b) ]
 *   documents  sum_d [ lG(K a) - lG(K a + n_d)    + sum_{k: n_dk>0} ( lG(a + n_dk) - lG(a) ) ]
 *
 * Most counts are small: their terms come from a table.
 */
#include "lda_state.h"

#include <math.h>

/** log Gamma(x) for x > 0; lgamma itself writes a global variable. */
static double log_gamma(double x)
{
  int sign;
  return lgamma_r(x, &sign);
}

/** log Gamma(prior + n) - log Gamma(prior) */
static double log_rise(const double *table, double prior, int64_t n)
{
  return n < SMALL_COUNTS ? table[n] : log_gamma(prior + (double)n) - log_gamma(prior);
}

void lda_fill_log_rise(double *table, double prior)
{
  for (int n = 0; n < SMALL_COUNTS; n++) table[n] = log_gamma(prior + n) - log_gamma(prior);
}

double epact_lda_log_likelihood_words(const epact_lda *lda)
{
  double sum = 0;
  for (int64_t w = 0; w < lda->words; w++) {
    const uint32_t *entry = lda->entries + lda->rows[w].start;
    double row_sum = 0;
    for (uint32_t i = 0; i < lda->rows[w].length; i++)
      row_sum += log_rise(lda->log_rise_beta, lda->beta, entry[i] >> lda->topic_bits);
    sum += row_sum;
  }
  const double empty = log_gamma(lda->beta_sum);
  for (int64_t k = 0; k < lda->topics; k++) sum += empty - log_gamma(lda->beta_sum + (double)lda->total[k]);
  return sum;
}

double epact_lda_log_likelihood_documents(epact_lda *lda)
{
  const double alpha_sum = (double)lda->topics * lda->alpha, empty = log_gamma(alpha_sum);
  uint32_t *in_document = lda->in_document;
  double sum = 0;
  for (int64_t d = 0; d < lda->documents; d++) {
    const uint16_t *topic = lda->token_topic + lda->token_start[d];
    const int64_t length = lda->token_start[d + 1] - lda->token_start[d];
    int64_t assigned = 0;
    for (int64_t i = 0; i < length; i++) {
      if (topic[i] == EPACT_LDA_NO_TOPIC) continue;
      in_document[topic[i]]++;
      assigned++;
    }
    double document_sum = empty - log_gamma(alpha_sum + (double)assigned);
    for (int64_t i = 0; i < length; i++) {
      if (topic[i] == EPACT_LDA_NO_TOPIC) continue;
      document_sum += log_rise(lda->log_rise_alpha, lda->alpha, in_document[topic[i]]);
      in_document[topic[i]] = 0; /* log_rise(0) is 0: each topic counts once */
    }
    sum += document_sum;
  }
  return sum;
}
