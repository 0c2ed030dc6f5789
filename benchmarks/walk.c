/* Walks the records of a pcap file in this machine's byte order, as a plain C program does. */
#include <stdint.h>
#include <stdio.h>

int main(int count, char **words) {
    static unsigned char frame[262144];
    uint32_t record[4];
    long records = 0;
    FILE *file = count > 1 ? fopen(words[1], "rb") : NULL;
    if (!file || fseek(file, 24, SEEK_SET)) return 1;
    while (fread(record, sizeof record, 1, file) == 1) {
        if (record[2] > sizeof frame) return 1;
        if (fread(frame, 1, record[2], file) < record[2]) break;
        records++;
    }
    printf("%ld\n", records);
    return 0;
}
