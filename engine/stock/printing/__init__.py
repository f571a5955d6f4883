"""Printing: a batch's cards as a PDF whose fixed parts are laid out once and whose variable parts are stamped on.

layouts       the paper: sheets, single cards, receipts, labels, with their measures
design        what an operator fills in: colours, texts, languages, which fields
words         what is printed beside the fields, in each language
faces         the faces of a card, laid out once by WeasyPrint, and where the variable parts stand on them
marks         QR codes and Code 128 as PDF operators
sheets        the pages of a run, stamped by pikepdf
preview       a design as a picture of its true first sheet
calibration   a page that tells how far a printer prints beside where it should
designs       designs as they are kept
looks         what the brand and the house add to a design
printers      how far each printer is off
runs          who printed what: orders, files, confirmation
"""
